// A machine's serial port, or a shell on it, in a terminal. What a guest prints is drawn by the terminal and nothing else: no title, no link, no clipboard.
// Text and state of the page are the server's; here are only bytes, and JSON about who is there.

import { Terminal } from '../lib/xterm/xterm.mjs';
import { FitAddon } from '../lib/xterm/addon-fit.mjs';

// More than this waiting to be drawn (a page in the background) is left out.
const mostWaiting = 1 << 20;
const portion = 4096;

export function open(element, page, label) {
  const terminal = new Terminal({
    cols: 80, rows: 24, scrollback: 5000, fontSize: 14, cursorBlink: true,
    fontFamily: 'ui-monospace, "SF Mono", "Cascadia Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace',
    theme: { background: '#101716', foreground: '#e6ece9' },
    linkHandler: { activate: () => { } },
  });
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  terminal.open(element);
  terminal.textarea.setAttribute('aria-label', label);

  let socket = null;
  let muted = true;
  let waiting = 0;
  const tell = (method, ...words) => page.invokeMethodAsync(method, ...words).catch(() => { });

  // A serial port knows no size: guests take 80 columns for granted, and a narrow window has what fits. A shell has the size of the window
  // of who types, and the others see it in that size.
  let room = null;
  const resize = () => {
    if (room?.columns && room.you !== room.types) { terminal.resize(room.columns, room.rows); return; }
    const size = fit.proposeDimensions();
    if (!size || !(size.cols > 1 && size.rows > 1)) return;
    const [columns, rows] = [room?.columns ? size.cols : Math.min(80, size.cols), Math.max(10, size.rows)];
    terminal.resize(columns, rows);
    if (room?.columns && (room.columns !== columns || room.rows !== rows)) say({ do: 'size', columns, rows });
  };
  const say = note => { if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(note)); };

  const resized = new ResizeObserver(resize);
  resized.observe(element);
  resize();

  // The way out for the keyboard, since everything else goes to the guest.
  terminal.attachCustomKeyEventHandler(event => {
    if (!(event.ctrlKey && event.key === ']')) return true;
    if (event.type === 'keydown') {
      event.preventDefault();
      document.querySelector('[data-after-terminal]')?.focus();
    }
    return false;
  });

  const type = bytes => {
    if (muted || socket?.readyState !== WebSocket.OPEN) return;
    for (let from = 0; from < bytes.length; from += portion) socket.send(bytes.subarray(from, from + portion));
  };
  terminal.onData(text => type(new TextEncoder().encode(text)));
  terminal.onBinary(text => type(Uint8Array.from(text, letter => letter.charCodeAt(0))));

  const show = bytes => {
    if (waiting > mostWaiting) return;
    waiting += bytes.length;
    terminal.write(bytes, () => { waiting -= bytes.length; });
  };

  return {
    connect(address) {
      socket?.close();
      const mine = socket = new WebSocket(new URL(address, document.baseURI.replace(/^http/, 'ws')));
      mine.binaryType = 'arraybuffer';
      // What is shown again is no question to us: a terminal would answer the queries in it, and the guest would take that for typing.
      muted = true;
      room = null;
      mine.onopen = () => terminal.reset();
      mine.onmessage = message => {
        if (mine !== socket) return;
        if (message.data instanceof ArrayBuffer) { show(new Uint8Array(message.data)); return; }
        const note = JSON.parse(message.data);
        if (note.live) terminal.write('', () => { muted = false; });
        else {
          room = note;
          resize();
          tell('Told', note);
        }
      };
      mine.onclose = closed => {
        if (mine !== socket) return;
        socket = null;
        muted = true;
        tell('Closed', closed.reason || 'console.lost');
      };
    },
    ask(what) { say({ do: what }); },
    focus() { terminal.focus(); },
    dispose() {
      resized.disconnect();
      const mine = socket;
      socket = null;
      mine?.close();
      terminal.dispose();
    },
  };
}
