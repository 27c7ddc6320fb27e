// Opens WebSockets as a page does, and tells what a page is shown. It knows no more than a browser has: it runs in one.
"use strict";

/**
 * Opens a socket for each case, in turn: the next one when the one before was answered, or has ended. Those with `ends`
 * are then waited for, and the others closed. Of each it gives:
 *
 * - `protocol`: what the server named, or null where it did not open
 * - `first`: the action of the first frame, or null
 * - `answer`: that of the answer to `ping`, which the first generation does not know, or null
 * - `code`: of the end
 * - `message`: of the error, which browsers keep to themselves
 */
async function watch(cases, open) {
  const sockets = [];
  for (const one of cases) {
    const socket = open(one);
    const seen = { protocol: null, first: null, answer: null, code: null, message: null };
    socket.addEventListener("open", () => {
      seen.protocol = socket.protocol;
      socket.send('{"action":"ping"}');
    });
    socket.addEventListener("error", (event) => (seen.message ??= event.message ?? null));
    const answered = new Promise((resolve) => {
      socket.addEventListener("message", (event) => {
        const { action } = JSON.parse(event.data);
        seen.first ??= action;
        if (action !== "ack" && action !== "error") return;
        seen.answer = action;
        resolve();
      });
    });
    const ended = new Promise((resolve) => {
      socket.addEventListener("close", (event) => {
        seen.code = event.code;
        resolve();
      });
    });
    await Promise.race([answered, ended]);
    sockets.push({ socket, seen, ended, ends: one.ends });
  }
  for (const { socket, ended, ends } of sockets) {
    if (!ends) socket.close(1000);
    await ended;
  }
  return sockets.map(({ seen }) => seen);
}

module.exports = watch;
