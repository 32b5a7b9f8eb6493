// What only the browser knows or can do: its time zone, its colour scheme, the clipboard. No text and no state of labs here.

const scheme = window.matchMedia('(prefers-color-scheme: dark)');

function chosen() {
  return document.documentElement.dataset.theme ?? 'system';
}

function isDark() {
  return chosen() === 'dark' || (chosen() === 'system' && scheme.matches);
}

function keep(name, value) {
  const secure = location.protocol === 'https:' ? '; Secure' : '';
  document.cookie = `${name}=${encodeURIComponent(value)}; Path=${new URL(document.baseURI).pathname}; Max-Age=31536000; SameSite=Lax${secure}`;
}

const zone = () => Intl.DateTimeFormat().resolvedOptions().timeZone;

// By this the next page is drawn, before anything of it asks here.
function remember() {
  keep('labportal-browser', `${isDark() ? 'dark' : 'light'} ${zone()}`);
}

export function start(listener) {
  scheme.addEventListener('change', () => {
    remember();
    listener.invokeMethodAsync('SchemeChanged', isDark()).catch(() => { });
  });
  remember();
  return { theme: chosen(), dark: isDark(), zone: zone() };
}

export function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  keep('labportal-theme', theme);
  remember();
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
