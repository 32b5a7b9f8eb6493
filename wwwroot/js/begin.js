// What was drawn with the answer is painted first; then come the scripts that bring it to life, in this order. A page that nobody looks at paints nothing, and does not wait for it.
const sources = document.currentScript.dataset.then.split(' ');

function begin() {
  for (const source of sources.splice(0)) {
    const script = document.createElement('script');
    script.src = source;
    script.async = false;
    document.body.append(script);
  }
}

requestAnimationFrame(() => setTimeout(begin));
setTimeout(begin, 100);
