// A machine's screen. What it shows is drawn on a canvas and nothing else: no clipboard, no title, no size of the window.
// Binary messages are RFB; text messages are JSON about who is there.

import RFB from '../lib/novnc/core/rfb.js';

const controlKeys = [[0xffe3, 'ControlLeft'], [0xffe4, 'ControlRight']];

export function open(element, page, label) {
  let socket = null;
  let screen = null;
  const tell = (method, ...words) => page.invokeMethodAsync(method, ...words).catch(() => { });
  const say = note => { if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(note)); };

  const leave = () => {
    const mine = socket;
    socket = null;
    screen?.disconnect();
    screen = null;
    mine?.close();
  };

  // The way out for the keyboard, since everything else goes to the guest; there the key must not stay down.
  const wayOut = event => {
    if (!(event.ctrlKey && event.key === ']')) return;
    event.preventDefault();
    event.stopPropagation();
    for (const [key, code] of controlKeys) screen?.sendKey(key, code, false);
    screen?.blur();
    document.querySelector('[data-after-terminal]')?.focus();
  };
  element.addEventListener('keydown', wayOut, true);

  const show = mine => {
    const channel = {
      binaryType: 'arraybuffer', protocol: '', onopen: null, onmessage: null, onclose: null, onerror: null,
      get readyState() { return mine.readyState; },
      send(bytes) { if (mine.readyState === WebSocket.OPEN) mine.send(bytes); },
      close() { mine.close(); },
    };
    screen = new RFB(element, channel, { shared: true });
    screen.scaleViewport = true;
    screen.viewOnly = true;
    screen.background = 'transparent';
    const canvas = element.querySelector('canvas');
    canvas.tabIndex = 0;
    canvas.setAttribute('role', 'application');
    canvas.setAttribute('aria-label', label);
    return channel;
  };

  return {
    connect(address) {
      leave();
      const mine = socket = new WebSocket(new URL(address, document.baseURI.replace(/^http/, 'ws')));
      mine.binaryType = 'arraybuffer';
      let channel = null;
      mine.onopen = () => { if (mine === socket) channel = show(mine); };
      mine.onmessage = message => {
        if (mine !== socket) return;
        if (message.data instanceof ArrayBuffer) { channel.onmessage?.(message); return; }
        const note = JSON.parse(message.data);
        if (!note.people) return;
        if (screen) screen.viewOnly = note.you !== note.types;
        tell('Told', note);
      };
      mine.onclose = closed => {
        if (mine !== socket) return;
        socket = null;
        channel?.onclose?.(closed);
        screen = null;
        tell('Closed', closed.reason || 'console.lost');
      };
    },
    ask(what) {
      if (what === 'ctrl-alt-del') screen?.sendCtrlAltDel();
      else say({ do: what });
    },
    focus() { screen?.focus(); },
    dispose() {
      element.removeEventListener('keydown', wayOut, true);
      leave();
    },
  };
}
