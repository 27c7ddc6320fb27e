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

chat.on("message", async ({ message, ring }) => {
  // `ring`: it is new, and of somebody else.
  if (!ring || message.deleted) return;
  const { sender_id: peer } = message;
  chat.seen(peer, message.id);
  chat.typing(peer);
  const { sent } = await chat.send(peer, `You said: ${message.message}`, { replyTo: message.id });
  const { message_id } = await sent;
  console.log(`answered ${message.id} with ${message_id}`);
});

chat.on("state", ({ state, reason }) => {
  console.log(state, reason ?? "");
  if (state === "stopped") process.exit(1);
});

chat.connect();
