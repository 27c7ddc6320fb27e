#!/usr/bin/env bash
# reconnecting-websocket 4.4.0 and partysocket 1.3.0, in Node: a handshake that the server refuses is reported as a
# close with the code 1000, "normal closure".
#
# One would expect 1006, which RFC 6455 has for a connection that ended without a close frame, and which the WebSocket
# below them reports. An application that takes 1000 for "the other side is done" stops, and one that counts closes by
# code sees nothing. Both wrappers go on trying all the same: only close() stops them.
#
# Seen, for the first attempt:
#   ws 8.23.0 itself:       close 1006
#   reconnecting-websocket: close 1000
#   partysocket:            close 1000
# Needs Node 20 or later with npm. Takes 10 seconds.
set -euo pipefail
directory="$(mktemp -d)"
trap 'rm -rf "$directory"' EXIT
cd "$directory"

npm install --silent --no-audit --no-fund ws@8.23.0 reconnecting-websocket@4.4.0 partysocket@1.3.0

cat >refused.mjs <<'NODE'
import { createServer } from "node:http";
import ReconnectingWebSocket from "reconnecting-websocket";
import { WebSocket as PartySocket } from "partysocket";
import { WebSocket } from "ws";

const server = createServer();
server.on("upgrade", (request, socket) => socket.end("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const url = `ws://127.0.0.1:${server.address().port}/`;

async function codeOf(socket) {
  socket.addEventListener("error", () => {});
  const { code } = await new Promise((closed) => socket.addEventListener("close", closed));
  socket.close();
  return code;
}

console.log(`ws 8.23.0 itself:       close ${await codeOf(new WebSocket(url))}`);
const Wrapper = ReconnectingWebSocket.default ?? ReconnectingWebSocket;
console.log(`reconnecting-websocket: close ${await codeOf(new Wrapper(url, [], { WebSocket }))}`);
console.log(`partysocket:            close ${await codeOf(new PartySocket(url, [], { WebSocket }))}`);
process.exit(0);
NODE

node refused.mjs | tee seen
diff - seen <<'SEEN'
ws 8.23.0 itself:       close 1006
reconnecting-websocket: close 1000
partysocket:            close 1000
SEEN
