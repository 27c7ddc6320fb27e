// Opens WebSockets as a page does, and tells what a page is shown. It knows no more than a browser has: it runs in one.
"use strict";

/**
 * Opens a socket for each case, in turn: the next one when the one before was sent a frame, or has ended. Those with
 * `ends` are then waited for, and the others closed. Of each it gives:
 *
 * - `protocol`: what the server named, or null where it did not open
 * - `first`: the action of the first frame, or null. Each asks for `ping`, which the first generation does not know.
 * - `code`: of the end
 * - `message`: of the error, which browsers keep to themselves
 */
async function watch(cases, open) {
  const sockets = [];
  for (const one of cases) {
    const socket = open(one);
    const seen = { protocol: null, first: null, code: null, message: null };
    const heard = (event) => new Promise((resolve) => socket.addEventListener(event, resolve));
    socket.addEventListener("open", () => {
      seen.protocol = socket.protocol;
      socket.send('{"action":"ping"}');
    });
    socket.addEventListener("message", (event) => (seen.first ??= JSON.parse(event.data).action));
    socket.addEventListener("error", (event) => (seen.message ??= event.message ?? null));
    socket.addEventListener("close", (event) => (seen.code = event.code));
    const ended = heard("close");
    await Promise.race([heard("message"), ended]);
    sockets.push({ socket, seen, ended, ends: one.ends });
  }
  for (const { socket, ended, ends } of sockets) {
    if (!ends) socket.close();
    await ended;
  }
  return sockets.map(({ seen }) => seen);
}

module.exports = watch;
