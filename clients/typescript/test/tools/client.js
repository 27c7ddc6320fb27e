/** Clients for tests: in a hurry, and closed at the end of their test. */

import { setTimeout as delay } from "node:timers/promises";
import { ChatClient } from "../../src/index.js";
import { Scripted } from "./scripted.js";

/** Milliseconds. */
export const QUICK = {
  hello: 2000,
  silence: 5000,
  pong: 1000,
  backoffBase: 4,
  backoffMax: 40,
  backoffReset: 60_000,
  flood: 20,
  drain: 20,
  request: 3000,
  store: 2,
  receipts: 2,
};

export async function scripted(t) {
  const server = await Scripted.start();
  t.after(() => server.stop());
  return server;
}

export function client(t, server, { timing, ...options } = {}) {
  const chat = new ChatClient({ url: server.url, token: () => "token", tickets: false, timing: { ...QUICK, ...timing }, ...options });
  chat.errors = [];
  chat.on("error", ({ error }) => chat.errors.push(error));
  t.after(() => chat.close());
  return chat;
}

/** Connected to a server that has greeted it. */
export async function connected(t, { greeting, ...options } = {}) {
  const server = await scripted(t);
  const chat = client(t, server, options);
  chat.connect();
  const socket = await server.connection();
  const isLive = until(chat, "state", ({ state }) => state === "live");
  socket.greet(greeting);
  await isLive;
  return { server, chat, socket };
}

/** The next event that fits. */
export const until = (chat, type, fits = () => true) =>
  new Promise((resolve) => {
    const off = chat.on(type, (event) => {
      if (!fits(event)) return;
      off();
      resolve(event);
    });
  });

/** Asks again until it holds. The test's own time is its limit. */
export async function eventually(holds, what = "it", within = 20_000) {
  const end = Date.now() + within;
  for (;;) {
    const value = await holds();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await delay(3);
  }
}

export const texts = (chat, peer) => chat.messages(peer).map(({ message }) => message);
