/** A small model of the server, whose connections end at any byte: everything is there once, in order, on both sides. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryStore } from "../src/index.js";
import { client, eventually } from "./tools/client.js";
import { ME, PEER, Scripted, hello, live, message, sent, thread, threadObject } from "./tools/scripted.js";

const FULL = process.env.NETROX_CHAT_TEST_FULL !== undefined;
/** Every so many bytes. */
const STEP = FULL ? 1 : 23;

/** One user's feed, the messages in it, and what their references became. */
class Model {
  feed = [];
  messages = new Map();
  refs = new Map();

  constructor(server) {
    server.greeting = ({ query }) => this.since(query.after);
    server.handle = (frame, socket) => this.take(frame, socket);
    server.answer = ({ path }) => {
      if (path === "/v2/sync") return { body: { threads: [], next: null, cursor: "c0", unread_total: 0 } };
      if (path.startsWith("/v2/threads/")) return { body: threadObject({ rev: this.feed.length, last_id: this.messages.size, last_message: [...this.messages.values()].at(-1) ?? null }) };
      if (path.startsWith("/v2/messages/")) return { body: this.messages.get(Number(path.split("/").at(-1))) };
    };
    this.server = server;
  }

  /** What is told first: each in its newest state, in the order of the last change. */
  since(after) {
    const place = Number(after.slice(1));
    const changed = [...this.messages.values()].filter(({ rev }) => rev > place).sort((a, b) => a.rev - b.rev);
    const frames = changed.map((of) => ({ action: "message", cursor: `c${of.rev}`, new: true, message: of }));
    return [hello({ cursor: after, behind: changed.length }), ...frames, live({ cursor: `c${this.feed.length}` })];
  }

  add(more) {
    const id = this.messages.size + 1;
    return this.change(message(id, more));
  }

  change(of) {
    const rev = this.feed.push(of.id);
    const changed = { ...of, rev };
    this.messages.set(of.id, changed);
    for (const socket of this.server.opened) socket.send({ action: "message", cursor: `c${rev}`, new: true, message: changed });
    return changed;
  }

  take(frame, socket) {
    if (frame.action !== "chat_message") return;
    let of = this.messages.get(this.refs.get(frame.client_ref));
    const repeated = of !== undefined;
    of ??= this.add({ sender_id: ME, receiver_id: PEER, message: frame.message_body, client_ref: frame.client_ref });
    this.refs.set(frame.client_ref, of.id);
    socket.send(sent(frame, of.id, { repeated }));
  }
}

/** A conversation whose first connections end after so many bytes each. */
async function conversation(t, budgets) {
  const server = await Scripted.start();
  const model = new Model(server);
  const left = [...budgets];
  server.budget = () => left.shift() ?? Infinity;
  const store = new MemoryStore();
  const chat = client(t, server, { store, delivered: false });
  model.add({ message: "before" });
  chat.connect();
  const sends = ["one", "two", "three"].map((text) => chat.send(PEER, text));
  await eventually(() => model.refs.size >= 1, "a first one");
  model.change({ ...model.messages.get(1), message: "edited" });
  model.add({ message: "after" });
  await Promise.all(sends.map(async (sending) => (await sending).sent));
  const own = [...model.messages.values()].filter(({ sender_id }) => sender_id === ME);
  assert.deepEqual(own.map((of) => of.message), ["one", "two", "three"], `cut after ${budgets}`);
  const held = () => chat.messages(PEER).map(({ id, message, rev }) => [id, message, rev]);
  const stored = [...model.messages.values()].map(({ id, message, rev }) => [id, message, rev]);
  await eventually(() => JSON.stringify(held()) === JSON.stringify(stored), "all").catch(() => {});
  assert.deepEqual(held(), stored, `cut after ${budgets}`);
  await eventually(async () => (await store.outbox()).length === 0, "an empty outbox");
  await eventually(async () => (await store.load(1000)).cursor === `c${model.feed.length}`, "the last cursor");
  await chat.close();
  await server.stop();
  return { connections: server.opened.length };
}

test("a connection that is cut at any byte", { timeout: 600_000 }, async (t) => {
  const begun = await conversation(t, []);
  assert.equal(begun.connections, 1);
  // Longer than a whole one is.
  let count = 0;
  for (let bytes = Math.floor(Math.random() * STEP); bytes < 4000; bytes += STEP) {
    await conversation(t, [bytes]);
    count++;
  }
  t.diagnostic(`${count} conversations`);
});

test("several connections in turn, each cut somewhere", { timeout: 600_000 }, async (t) => {
  for (let i = 0; i < (FULL ? 500 : 20); i++) {
    await conversation(t, Array.from({ length: 6 }, () => Math.floor(Math.random() * 1500)));
  }
});
