/** WebSocket frames as bytes, for a server that may stop at any of them. */

import { createHash } from "node:crypto";

/** What a handshake is answered. */
export const accepted = (request) => {
  const key = request.headers["sec-websocket-key"];
  const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
  const offered = request.headers["sec-websocket-protocol"];
  const named = offered ? `Sec-WebSocket-Protocol: netrox.chat.v2\r\n` : "";
  return Buffer.from(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n${named}Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
};

/** An unmasked frame. */
export function encoded(opcode, payload) {
  const { length } = payload;
  const head =
    length < 126
      ? Buffer.from([0x80 | opcode, length])
      : length < 65536
        ? Buffer.from([0x80 | opcode, 126, length >> 8, length & 255])
        : Buffer.concat([Buffer.from([0x80 | opcode, 127]), (() => { const b = Buffer.alloc(8); b.writeBigUInt64BE(BigInt(length)); return b; })()]);
  return Buffer.concat([head, payload]);
}

export const text = (frame) => encoded(1, Buffer.from(JSON.stringify(frame)));

export const closing = (code) => encoded(8, code ? Buffer.from([code >> 8, code & 255]) : Buffer.alloc(0));

/** Takes whole masked frames off `bytes`: gives them, and the rest. */
export function decoded(bytes) {
  const frames = [];
  for (;;) {
    if (bytes.length < 6) break;
    let length = bytes[1] & 127;
    let at = 2;
    if (length === 126) {
      length = bytes.readUInt16BE(2);
      at = 4;
    } else if (length === 127) {
      if (bytes.length < 14) break;
      length = Number(bytes.readBigUInt64BE(2));
      at = 10;
    }
    if (bytes.length < at + 4 + length) break;
    const mask = bytes.subarray(at, at + 4);
    const payload = Buffer.from(bytes.subarray(at + 4, at + 4 + length)).map((byte, i) => byte ^ mask[i % 4]);
    frames.push({ opcode: bytes[0] & 15, payload: Buffer.from(payload) });
    bytes = bytes.subarray(at + 4 + length);
  }
  return { frames, rest: bytes };
}
