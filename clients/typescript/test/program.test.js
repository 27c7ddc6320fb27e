/** With the real program: what a user of the client does, and a network that is cut at random bytes. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { cp, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { MemoryStore } from "../src/index.js";
import { IndexedDbStore } from "../src/store/indexeddb.js";
import { client, eventually, texts, until } from "./tools/client.js";
import { described, payloads } from "./tools/described.js";
import { load } from "./tools/packages.js";
import { PROGRAM, Program, token } from "./tools/program.js";
import { Proxy, seeded } from "./tools/proxy.js";

const OPTIONS = { skip: PROGRAM ? false : "NETROX_CHAT_TEST_PROGRAM names no program", timeout: 600_000 };
const CUTS = Number(process.env.NETROX_CHAT_TEST_CUTS ?? 40);
const SEED = Number(process.env.NETROX_CHAT_TEST_SEED ?? Date.now() % 1e9);
const TIMING = { timing: { hello: 3000, request: 5000, silence: 2000, pong: 1500, backoffBase: 4, backoffMax: 60 } };

/** A client of a user, by the program or a proxy. */
const of = (t, at, user, options = {}) => client(t, at, { token: () => token(user), tickets: true, ...TIMING, ...options });

const isLive = (chat) => eventually(() => chat.state === "live", "live");

async function pair(t, program) {
  const [alice, bob] = [randomUUID(), randomUUID()];
  // Who is written to must be known.
  await Promise.all([program.get("/v2/me", alice), program.get("/v2/me", bob)]);
  return [alice, bob];
}

test("a conversation: sends, marks, edits, files, deletions and a block", OPTIONS, async (t) => {
  const program = await Program.start(t);
  const [alice, bob] = await pair(t, program);
  const a = of(t, program, alice);
  const b = of(t, program, bob);
  for (const chat of [a, b]) chat.connect();
  await Promise.all([isLive(a), isLive(b)]);
  const rang = until(b, "message", ({ ring }) => ring);
  const { sent } = await a.send(bob.toUpperCase(), "hello", { meta: { kind: "wave" } });
  const { message_id } = await sent;
  const { message } = await rang;
  assert.deepEqual([message.id, message.message, message.meta], [message_id, "hello", { kind: "wave" }]);
  await eventually(() => a.thread(bob)?.peer_delivered_id === message_id, "delivered, by itself");
  assert.equal(b.unreadTotal, 1);
  b.seen(alice);
  await eventually(() => a.thread(bob).peer_seen_id === message_id, "seen");
  await eventually(() => b.thread(alice).seen_id === message_id && b.unreadTotal === 0, "the badge to go");
  assert.equal(b.thread(alice).peer.email, `${alice.slice(0, 4)}@example.com`);

  await a.edit(message_id, "hello, world");
  await eventually(() => texts(b, alice)[0] === "hello, world", "the edit");
  await assert.rejects(b.edit(message_id, "not mine"), { code: "not_allowed" });

  const bytes = crypto.getRandomValues(new Uint8Array(50_000));
  const upload = await b.upload(alice, new Blob([bytes], { type: "application/octet-stream" }), { name: "bytes.bin", message: "a file", replyTo: message_id });
  await upload.sent;
  const file = await eventually(() => a.messages(bob).find(({ attachment }) => attachment), "the file");
  assert.deepEqual([file.message, file.reply_to, file.attachment.name, file.attachment.size], ["a file", message_id, "bytes.bin", 50_000]);
  const got = await fetch(a.rest.address(file.attachment.url));
  assert.deepEqual(new Uint8Array(await got.arrayBuffer()), bytes);
  const held = await b.upload(alice, new Blob(["later"]), { dispatch: false });
  const later = (await held.sent).message_id;
  await b.dispatch(later);
  await eventually(() => a.messages(bob).some(({ id }) => id === later), "what was dispatched");

  await a.delete(message_id, "everyone");
  await eventually(() => b.messages(alice)[0].deleted, "the deletion");
  await a.delete(later, "me");
  await eventually(() => !a.messages(bob).some(({ id }) => id === later), "the deletion for oneself");
  assert.equal(b.messages(alice).some(({ id }) => id === later), true);

  await a.block(bob);
  const blocked = [];
  for await (const { peer_id } of a.blocks()) blocked.push(peer_id);
  assert.deepEqual(blocked, [bob]);
  await (await b.send(alice, "swallowed")).sent;
  await a.unblock(bob);
  await (await b.send(alice, "after it")).sent;
  await eventually(() => texts(a, bob).includes("after it"));
  assert.equal(texts(a, bob).includes("swallowed"), false);
  await assert.rejects((await a.send(randomUUID(), "nobody")).sent, { code: "invalid_receiver" });

  // A new device holds the same, and reads back to the beginning.
  const fresh = of(t, program, alice);
  fresh.connect();
  await isLive(fresh);
  while (await fresh.history(bob, 1));
  assert.deepEqual(fresh.messages(bob).map(({ id }) => id), a.messages(bob).map(({ id }) => id));
  const read = [];
  for await (const { id } of fresh.read(bob, { order: "oldest", limit: 2 })) read.push(id);
  assert.deepEqual(read, fresh.messages(bob).map(({ id }) => id));
  assert.equal((await fresh.rest.get("/v2/me")).limits.search, fresh.limits.search);
  assert.deepEqual([...a.errors, ...b.errors, ...fresh.errors], []);
});

test("a store that is left for a while catches up by a push, and by a socket", OPTIONS, async (t) => {
  const program = await Program.start(t);
  const [alice, bob] = await pair(t, program);
  const store = new MemoryStore();
  const before = of(t, program, bob, { store });
  before.connect();
  await isLive(before);
  await before.close();
  const a = of(t, program, alice);
  a.connect();
  for (const text of ["one", "two"]) await (await a.send(bob, text)).sent;
  const woken = of(t, program, bob, { store });
  assert.ok((await woken.pull()) >= 2);
  assert.deepEqual(texts(woken, alice), ["one", "two"]);
  await eventually(() => a.thread(bob)?.peer_delivered_id === woken.thread(alice).last_id, "delivered");
  await woken.close();
  await (await a.send(bob, "three")).sent;
  const back = of(t, program, bob, { store });
  back.connect();
  await isLive(back);
  assert.deepEqual(texts(back, alice), ["one", "two", "three"]);
  assert.equal(back.unreadTotal, 3);
});

test("an older database put back: what is held is what is stored", OPTIONS, async (t) => {
  const program = await Program.start(t);
  const [alice, bob] = await pair(t, program);
  const sides = [of(t, program, alice), of(t, program, bob)];
  const [a, b] = sides;
  for (const chat of sides) chat.connect();
  await (await a.send(bob, "one")).sent;
  await eventually(() => texts(b, alice).length === 1);
  const [data, copy] = ["data", "copy"].map((name) => join(program.directory, name));
  await program.kill();
  await cp(data, copy, { recursive: true });
  await program.run();
  await (await a.send(bob, "of the lost branch")).sent;
  await eventually(() => texts(b, alice).length === 2);
  await program.kill();
  const resets = sides.map((chat) => until(chat, "reset", ({ reset }) => reset === "epoch"));
  await a.send(bob, "written down meanwhile");
  await rm(data, { recursive: true });
  await rename(copy, data);
  await program.run();
  await Promise.all(resets);
  await eventually(() => texts(b, alice).at(-1) === "written down meanwhile");
  await eventually(() => a.messages(bob).every(({ status }) => status === "sent"));
  const stored = (await program.history(alice, bob)).map(({ id, message }) => [id, message]);
  assert.deepEqual(stored.map(([, message]) => message), ["one", "written down meanwhile"]);
  for (const [chat, peer] of [[a, bob], [b, alice]]) {
    while (await chat.history(peer));
    assert.deepEqual(chat.messages(peer).map(({ id, message }) => [id, message]), stored);
  }
  assert.deepEqual([...a.errors, ...b.errors], []);
});

test("a token that is refused is replaced, and without another it stays away", OPTIONS, async (t) => {
  const program = await Program.start(t);
  const user = randomUUID();
  const tokens = [token(user, { exp: 1000 }), token(user)];
  const chat = client(t, program, { ...TIMING, token: () => tokens.shift() ?? null, store: new MemoryStore() });
  chat.connect();
  await isLive(chat);
  const expired = client(t, program, { ...TIMING, token: () => token(user, { exp: 1000 }) });
  const stopped = until(expired, "state", ({ state }) => state === "stopped");
  expired.connect();
  assert.equal((await stopped).reason, "token");
});

const openapi = described("openapi.yaml");
/** What this version of the program does not have, its descriptions do not have. */
const where = (has) => ({ ...OPTIONS, skip: OPTIONS.skip || (has ? false : "the program does not have it yet") });

test("a token that ends soon is replaced, and the socket stays", where("/v2/ticket" in openapi.paths), async (t) => {
  const program = await Program.start(t, "--close-on-token-expiry");
  const user = randomUUID();
  const asked = [];
  let greeted = 0;
  const ends = Math.floor(Date.now() / 1000) + 5;
  const chat = client(t, program, {
    ...TIMING,
    token: ({ refresh }) => asked.push(refresh) && token(user, refresh ? {} : { exp: ends }),
  });
  chat.on("hello", () => greeted++);
  chat.connect();
  await isLive(chat);
  await eventually(() => asked.includes(true), "that it is asked for another");
  // Its answer comes before that of what is asked behind it.
  await eventually(() => chat.block(randomUUID()).catch(({ code }) => code === "not_found"));
  assert.deepEqual([asked, chat.errors, chat.state, greeted], [[false, true], [], "live", 1]);
});

test("typing and presence", where(payloads(described("asyncapi.yaml"), "receive").has("typing")), async (t) => {
  const program = await Program.start(t);
  const [alice, bob] = await pair(t, program);
  const [a, b] = [of(t, program, alice), of(t, program, bob)];
  a.connect();
  await isLive(a);
  await (await a.send(bob, "hello")).sent;
  const seen = [];
  a.on("presence", ({ peer_id, online }) => peer_id === bob && seen.push(online));
  a.watchPresence([bob]);
  await eventually(() => seen.length === 1);
  b.connect();
  await isLive(b);
  // Only those whom Bob has written to may see him.
  await (await b.send(alice, "hello")).sent;
  await eventually(() => seen.at(-1) === true, "that he is online");
  assert.equal(seen[0], false);
  for (const typing of [true, false, true]) {
    const told = until(b, "typing", (event) => event.typing === typing);
    a.typing(bob, typing);
    assert.equal((await told).peer_id, alice);
  }
  const ended = until(b, "typing");
  await a.send(bob, "and what was typed");
  assert.equal((await ended).typing, false);
  await b.setPresence("nobody");
  await eventually(() => seen.at(-1) === false, "that he hides");
  assert.deepEqual([...a.errors, ...b.errors], []);
});

test("tickets for sockets, and links of files", where("/v2/ticket" in openapi.paths), async (t) => {
  const program = await Program.start(t, "--media-access", "participants");
  const [alice, bob] = await pair(t, program);
  const opened = [];
  const Watched = class extends WebSocket {
    constructor(url, ...of) {
      super(url, ...of);
      opened.push(new URL(url).searchParams);
    }
  };
  const a = of(t, program, alice, { WebSocket: Watched });
  a.connect();
  await isLive(a);
  assert.deepEqual([opened.length, opened[0].has("ticket"), opened[0].has("token")], [1, true, false]);
  const { sent } = await a.upload(bob, new Blob(["a file"]), { name: "a.txt" });
  await sent;
  const [{ attachment }] = a.messages(bob);
  assert.notEqual((await fetch(a.rest.address(attachment.url))).status, 200);
  const { url, expires_in_s } = await a.link(attachment);
  assert.ok(expires_in_s > 0);
  assert.equal(await (await fetch(url)).text(), "a file");
});

test("search", where("/v2/search" in openapi.paths), async (t) => {
  const program = await Program.start(t, "--search");
  const [alice, bob] = await pair(t, program);
  const a = of(t, program, alice);
  a.connect();
  for (const text of ["the first words", "others", "more WORDS"]) await (await a.send(bob, text)).sent;
  const found = [];
  for await (const { message } of of(t, program, bob).search("word", { peerId: alice, limit: 1 })) found.push(message);
  assert.deepEqual(found, ["more WORDS", "the first words"]);
  const without = await Program.start(t);
  await assert.rejects(of(t, without, alice).search("word").next(), { code: "not_enabled", status: 404 });
});

const STORES = {
  memory: async () => new MemoryStore(),
  // A new one of the same name is what a reload has.
  indexeddb: async () => {
    const { IDBFactory } = await load("fake-indexeddb");
    const factory = new IDBFactory();
    const name = randomUUID();
    return () => new IndexedDbStore(name, factory);
  },
};

for (const [kind, tabs] of [
  ["memory", 1],
  ["indexeddb", 2],
]) {
  test(`${CUTS} cuts at random bytes, tabs that are closed, kill -9: ${tabs} at a time, over ${kind}`, OPTIONS, async (t) => {
    t.diagnostic(`NETROX_CHAT_TEST_SEED=${SEED}`);
    const random = seeded(SEED + tabs);
    const program = await Program.start(t, "--max-connections-per-user", "1000");
    const users = await pair(t, program);
    let cuts = 0;
    // From one byte on: within requests, handshakes, frames.
    const budget = () => (cuts < CUTS ? Math.ceil(Math.exp(random() * Math.log(20_000))) : Infinity);
    const proxy = await Proxy.start(t, program.port, budget);
    const sides = await Promise.all(users.map(async (user, i) => {
      const made = await STORES[kind]();
      const store = () => (typeof made === "function" ? made() : made);
      const open = () => {
        const chat = of(t, proxy, user, { store: store() });
        chat.connect();
        return chat;
      };
      return { peer: users[1 - i], user, open, store, tabs: Array.from({ length: tabs }, open), texts: [] };
    }));
    let killed = false;
    while (cuts < CUTS) {
      for (const side of sides) {
        const at = Math.floor(random() * tabs);
        const text = `${side.texts.length}`;
        const { clientRef } = await side.tabs[at].send(side.peer, text);
        side.texts.push({ text, clientRef });
        // The tab is closed, wherever it was.
        if (random() < 0.1) {
          await side.tabs[at].close();
          side.tabs[at] = side.open();
        }
      }
      const before = proxy.cuts;
      await eventually(() => proxy.cuts > before || random() < 0.01, "a cut");
      cuts = proxy.cuts;
      if (!killed && cuts > CUTS / 2) {
        killed = true;
        await program.kill();
        await program.run();
      }
    }
    const [one, other] = sides;
    for (const side of sides) {
      const store = side.store();
      await eventually(async () => (await store.outbox()).length === 0, "an empty outbox", 120_000);
      store.close?.();
    }
    const stored = await program.history(one.user, one.peer);
    for (const side of sides) {
      const own = stored.filter(({ sender_id }) => sender_id === side.user);
      const mine = own.map(({ message }) => message);
      assert.deepEqual(mine, side.texts.map(({ text }) => text), "every message once, in order");
    }
    assert.equal(stored.length, one.texts.length + other.texts.length);
    for (const side of sides) {
      for (const tab of side.tabs) {
        await eventually(() => tab.messages(side.peer).at(-1)?.id === stored.at(-1).id && tab.state === "live", "the last message", 120_000);
        // The newest 200 are kept over a reload: the others are read.
        // A request may meet a connection that a kill or a cut has ended, and is made again then.
        let repeats = 20;
        const more = () => tab.history(side.peer, 200).catch((error) => (error.code === "no_answer" && repeats-- > 0) || Promise.reject(error));
        while (await more());
        const held = tab.messages(side.peer).map(({ id, message, status }) => [id, message, status]);
        assert.deepEqual(held, stored.map(({ id, message }) => [id, message, "sent"]), "held as it is stored");
        assert.deepEqual(tab.errors, []);
      }
    }
    t.diagnostic(`${stored.length} messages, ${proxy.cuts} cuts`);
  });
}
