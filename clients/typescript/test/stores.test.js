/** The stores: each keeps the same promises. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { MemoryStore } from "../src/index.js";
import { IndexedDbStore } from "../src/store/indexeddb.js";
import { eventually } from "./tools/client.js";
import { load } from "./tools/packages.js";
import { PEER, message, thread } from "./tools/scripted.js";

const OPTIONS = { timeout: 20_000 };
const batch = (more = {}) => ({ threads: [], messages: [], ranges: [], removed: [], settled: [], ...more });
const entry = (more = {}) => ({ client_ref: randomUUID(), peer_id: PEER, message_body: "x", reply_to: null, meta: null, created: 1, seq: 0, ...more });
const held = (more) => ({ ...thread(more), peer: null, created: null });

const { IDBFactory } = await load("fake-indexeddb");

for (const [name, make] of [
  ["memory", () => ((store) => () => store)(new MemoryStore())],
  ["indexeddb", () => ((factory, name) => () => new IndexedDbStore(name, factory))(new IDBFactory(), randomUUID())],
]) {
  const of = (title, body, skip = false) =>
    test(`${name}: ${title}`, { ...OPTIONS, skip }, async () => {
      const open = make();
      const opened = [];
      await body(() => {
        const store = open();
        opened.push(store);
        return store;
      });
      for (const store of opened) store.close?.();
    });

  of("keeps all, for the next who opens it", async (open) => {
    const store = open();
    assert.deepEqual(await store.load(9), { user_id: null, generation: 0, cursor: null, next: null, threads: [], messages: [], ranges: [], outbox: [] });
    const one = batch({ user_id: "u", cursor: "c1", next: "n", threads: [held()], messages: [message(1), message(2)], ranges: [{ thread: 1, from: 1, before: 1 }] });
    assert.equal(await store.apply(0, one), true);
    const { user_id, cursor, next, threads, messages, ranges } = await open().load(9);
    assert.deepEqual([user_id, cursor, next, threads, ranges], ["u", "c1", "n", [held()], [{ thread: 1, from: 1 }]]);
    assert.deepEqual(messages.map(({ id }) => id).sort(), [1, 2]);
    await store.apply(0, batch({ removed: [1] }));
    assert.deepEqual([(await store.load(9)).cursor, (await store.load(9)).messages.length], ["c1", 1]);
  });

  of("an older copy does not replace a newer", async (open) => {
    const [one, other] = [open(), open()];
    await one.apply(0, batch({ messages: [message(1, { rev: 5, message: "new" })], threads: [held({ rev: 5, unread: 3 })] }));
    await other.apply(0, batch({ messages: [message(1, { rev: 4, message: "old" })], threads: [held({ rev: 4, unread: 9 })] }));
    const { messages, threads } = await one.load(9);
    assert.deepEqual([messages[0].message, threads[0].unread], ["new", 3]);
  });

  of("a hole is never taken for held", async (open) => {
    const store = open();
    const range = (from, before) => store.apply(0, batch({ ranges: [{ thread: 1, from, before }] }));
    const from = async () => (await store.load(9)).ranges[0].from;
    await range(50, 50);
    await range(40, 50);
    assert.equal(await from(), 40);
    await range(20, 30);
    assert.equal(await from(), 40, "30 to 40 is not held");
    await store.apply(0, batch({ ranges: [{ thread: 1, from: 30, before: 40 }, { thread: 1, from: 0, before: 30 }] }));
    assert.equal(await from(), 0, "two pages in one batch");
  });

  of("a snapshot replaces all but the outbox, and who did not see it writes nothing", async (open) => {
    const [one, other] = [open(), open()];
    await one.apply(0, batch({ user_id: "u", cursor: "c", messages: [message(1)], threads: [held()], ranges: [{ thread: 1, from: 1, before: 1 }] }));
    await one.put(entry());
    const generation = await one.reset(batch({ cursor: "d", threads: [held({ id: 2 })] }));
    assert.equal(await other.apply(0, batch({ cursor: "c9", messages: [message(9)] })), false);
    const stored = await other.load(9);
    assert.equal(stored.generation, generation);
    assert.deepEqual([stored.cursor, stored.messages, stored.threads.map(({ id }) => id), stored.ranges, stored.outbox.length], ["d", [], [2], [], 1]);
  });

  of("the outbox keeps its order, and what is settled leaves it", async (open) => {
    const store = open();
    const entries = [entry(), entry(), entry({ file: new Blob(["abc"]), name: "a" })];
    const seqs = await Promise.all(entries.map((one) => store.put(one)));
    assert.deepEqual(seqs, [...seqs].sort((a, b) => a - b));
    assert.equal(await store.put({ ...entries[0], seq: seqs[0], failed: "not_found" }), seqs[0]);
    let outbox = await open().outbox();
    assert.deepEqual(outbox.map(({ client_ref }) => client_ref), entries.map(({ client_ref }) => client_ref));
    assert.equal(outbox[0].failed, "not_found");
    assert.equal(await outbox[2].file.text(), "abc");
    await store.apply(0, batch({ settled: [entries[1].client_ref, "unknown"] }));
    await store.remove(entries[0].client_ref);
    outbox = await store.outbox();
    assert.deepEqual(outbox.map(({ client_ref }) => client_ref), [entries[2].client_ref]);
    // Also after what was settled a new one comes last.
    assert.ok((await store.put(entry())) > seqs[2]);
  });

  of("cleared, it has nothing, and another tab writes nothing into it", async (open) => {
    const [one, other] = [open(), open()];
    await one.apply(0, batch({ user_id: "u", cursor: "c", messages: [message(1)] }));
    await one.put(entry());
    await one.clear();
    assert.equal(await other.apply(0, batch({ cursor: "c2" })), false);
    const { user_id, cursor, messages, outbox } = await other.load(9);
    assert.deepEqual([user_id, cursor, messages, outbox], [null, null, [], []]);
  });

  of("one has the outbox at a time, and others are told of its changes", async (open) => {
    const [one, other] = [open(), open()];
    const { signal } = new AbortController();
    const release = await one.lock(signal);
    const order = [];
    const waits = other.lock(signal).then((release) => (order.push("other"), release));
    const gone = new AbortController();
    const givesUp = other.lock(gone.signal);
    const last = one.lock(signal).then((release) => (order.push("last"), release));
    gone.abort();
    await assert.rejects(givesUp);
    let told = 0;
    const end = other.watch(() => told++);
    await one.put(entry());
    await eventually(() => told > 0);
    end();
    assert.deepEqual(order, []);
    release();
    (await waits)();
    (await last)();
    assert.deepEqual(order, ["other", "last"]);
  }, name === "indexeddb" && !globalThis.navigator?.locks && "this Node has no Web Locks");
}

test("indexeddb: of each thread the newest messages are kept", OPTIONS, async () => {
  const store = new IndexedDbStore(randomUUID(), new IDBFactory());
  const messages = [1, 2, 3, 4, 5].map((id) => message(id)).concat(message(6, { thread: 2 }));
  await store.apply(0, batch({ messages, ranges: [{ thread: 1, from: 1, before: 1 }, { thread: 2, from: 6, before: 6 }] }));
  for (const _ of [1, 2]) {
    const { messages: kept, ranges } = await store.load(2);
    assert.deepEqual(kept.map(({ id }) => id).sort(), [4, 5, 6]);
    assert.deepEqual(ranges, [{ thread: 1, from: 4 }, { thread: 2, from: 6 }]);
  }
  store.close();
});

test("indexeddb: what the browser closed is opened again", OPTIONS, async () => {
  const factory = new IDBFactory();
  const name = randomUUID();
  const store = new IndexedDbStore(name, factory);
  await store.put(entry());
  // It gives way to who wants to delete it.
  await new Promise((resolve, reject) => Object.assign(factory.deleteDatabase(name), { onsuccess: resolve, onerror: reject }));
  assert.deepEqual(await store.outbox(), []);
  store.close();
});
