/**
 * A bot that answers. What it has to send survives a broken network; with a store of your own, a restart as well.
 *
 *   URL=http://127.0.0.1:8080 TOKEN=<token> node examples/node/bot.js
 */

import { ChatClient } from "../../clients/typescript/src/index.js";

const { URL: url = "http://127.0.0.1:8080", TOKEN } = process.env;

const chat = new ChatClient({
  url,
  // Of your auth service: a new one where the last was refused.
  token: ({ refresh }) => (refresh || !TOKEN ? null : TOKEN),
});

const PHRASE = "You said: ";

/** As much of a text as the server takes, without half a character. */
function cut(text) {
  const bytes = new TextEncoder().encode(text).subarray(0, chat.limits?.max_body_bytes);
  return new TextDecoder().decode(bytes, { stream: true });
}

chat.on("message", async ({ message, ring }) => {
  // `ring`: it is new, and of somebody else.
  if (!ring || message.deleted) return;
  const { sender_id: peer } = message;
  chat.seen(peer, message.id);
  // Another bot of this kind: they would answer each other for ever.
  if (message.message.startsWith(PHRASE)) return;
  chat.typing(peer);
  try {
    const { sent } = await chat.send(peer, cut(PHRASE + message.message), { replyTo: message.id });
    const { message_id } = await sent;
    console.log(`answered ${message.id} with ${message_id}`);
  } catch (error) {
    // It was refused, or taken out. The next is answered still.
    console.error(`no answer to ${message.id}: ${error.message}`);
  }
});

chat.on("state", ({ state, reason }) => {
  console.log(state, reason ?? "");
  if (state === "stopped") process.exit(1);
});

chat.connect();
