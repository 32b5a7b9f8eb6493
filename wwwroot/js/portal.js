// What only the browser knows or can do: its time zone, its colour scheme, the clipboard. No text and no state of labs here.

const scheme = window.matchMedia('(prefers-color-scheme: dark)');

function chosen() {
  return document.documentElement.dataset.theme ?? 'system';
}

function isDark() {
  return chosen() === 'dark' || (chosen() === 'system' && scheme.matches);
}

export function start(listener) {
  scheme.addEventListener('change', () => listener.invokeMethodAsync('SchemeChanged', isDark()).catch(() => { }));
  return { theme: chosen(), dark: isDark(), zone: Intl.DateTimeFormat().resolvedOptions().timeZone };
}

export function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  const secure = location.protocol === 'https:' ? '; Secure' : '';
  document.cookie = `labportal-theme=${theme}; Path=${new URL(document.baseURI).pathname}; Max-Age=31536000; SameSite=Lax${secure}`;
  return isDark();
}

export async function copy(text) {
  if (navigator.clipboard && window.isSecureContext) {
    await navigator.clipboard.writeText(text);
    return true;
  }
  // Over plain HTTP there is no clipboard interface: a selection still can be copied.
  const area = document.createElement('textarea');
  area.value = text;
  area.setAttribute('readonly', '');
  area.style.position = 'fixed';
  area.style.opacity = '0';
  document.body.append(area);
  area.select();
  const copied = document.execCommand('copy');
  area.remove();
  return copied;
}

export function focusMain() {
  document.getElementById('main')?.focus();
}

export function focusWrong() {
  document.querySelector('[aria-invalid="true"]')?.focus();
}

export function toEnd(element) {
  element.scrollTop = element.scrollHeight;
}
