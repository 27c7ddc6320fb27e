/** What is told: upserts, unread counts, snapshots, resets, catch-ups and pages. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryStore } from "../src/index.js";
import { Keeper } from "../src/keeper.js";
import { client, connected, eventually, scripted, texts, until } from "./tools/client.js";
import { ME, OTHER, PEER, ack, came, hello, live, message, problem, refused, sent, thread, threadObject } from "./tools/scripted.js";

const OPTIONS = { timeout: 30_000 };
const told = (state, cursor) => ({ action: "thread", cursor, thread: state });
/** Sends them, and waits until they are taken. */
const tell = async (chat, socket, ...frames) => {
  socket.send(...frames, came(message(999_999, { thread: 77, sender_id: OTHER, rev: 999_999 }), { cursor: "last" }));
  await until(chat, "message", ({ message }) => message.id === 999_999);
};

test("the greater rev wins, whatever comes last", OPTIONS, async (t) => {
  const { chat, socket } = await connected(t);
  await tell(
    chat,
    socket,
    came(message(2, { rev: 9, message: "edited" })),
    came(message(2, { rev: 2 })),
    came(message(1, { rev: 1 })),
    came(message(3, { rev: 11, hidden: true, message: "" })),
  );
  assert.deepEqual(texts(chat, PEER), ["text 1", "edited"]);
});

test("a slow answer from before an edit does not bring back the old text", OPTIONS, async (t) => {
  const { server, chat, socket } = await connected(t);
  await tell(chat, socket, came(message(5)));
  let answer;
  const asked = new Promise((resolve) => {
    server.answer = ({ path, query }) =>
      path.endsWith("/messages") ? new Promise((go) => (resolve(query), (answer = go))) : undefined;
  });
  const read = chat.history(PEER);
  assert.equal((await asked).before, "5");
  await eventually(() => answer);
  const edited = until(chat, "message", ({ message }) => message.id === 4);
  socket.send(came(message(4, { rev: 30, message: "new" }), { new: false, cursor: "c30" }));
  await edited;
  answer({ body: { messages: [message(4), message(3)], next: null } });
  assert.equal(await read, false);
  assert.deepEqual(texts(chat, PEER), ["text 3", "new", "text 5"]);
});

test("an old message that was edited is not shown before what is between is read", OPTIONS, async (t) => {
  const { server, chat, socket } = await connected(t);
  server.answer = ({ path }) =>
    path === `/v2/threads/${PEER}` ? { body: threadObject({ last_id: 40, last_message: message(40) }) } : undefined;
  await tell(chat, socket, came(message(40)), came(message(2, { rev: 50, message: "edited" }), { new: false }));
  assert.deepEqual(texts(chat, PEER), ["text 40"]);
});

test("unread: what the state says, and the peer's messages above its last_id", OPTIONS, async (t) => {
  const { chat, socket } = await connected(t);
  await tell(
    chat,
    socket,
    // 102 was edited before 101 was deleted: out of order, and again.
    came(message(102, { rev: 4 })),
    told(thread({ last_id: 101, unread: 1, rev: 5 }), "c5"),
    came(message(103, { rev: 6, sender_id: ME, client_ref: null })),
    came(message(104, { rev: 7 })),
    came(message(104, { rev: 7 })),
    came(message(105, { rev: 8, deleted: true, message: "" })),
    came(message(106, { rev: 9, hidden: true, message: "" })),
  );
  assert.equal(chat.thread(PEER).unread, 3);
  assert.equal(chat.thread(PEER).last_id, 106);
  await tell(chat, socket, told(thread({ last_id: 104, unread: 2, rev: 10 }), "c10"));
  assert.equal(chat.thread(PEER).unread, 2);
  await tell(chat, socket, told(thread({ last_id: 104, unread: 0, seen_id: 104, rev: 9 }), "c10"));
  assert.equal(chat.thread(PEER).unread, 2, "an old state");
});

test("who is told of a thread may say at once that it was seen", OPTIONS, async (t) => {
  const { chat, socket } = await connected(t);
  let told = 0;
  chat.on("thread", ({ thread: { peer_id } }) => {
    if (peer_id !== PEER) return;
    told++;
    chat.seen(PEER);
  });
  await tell(chat, socket, came(message(5)));
  assert.equal(chat.thread(PEER).unread, 0);
  const before = told;
  chat.seen(PEER);
  chat.seen(PEER);
  assert.equal(told, before, "nothing else was seen");
  assert.ok(told <= 5, `${told}`);
});

test("of two states with one rev the marks grow", OPTIONS, async (t) => {
  const { chat, socket } = await connected(t);
  await tell(chat, socket, told(thread({ rev: 3, last_id: 9, seen_id: 7, peer_seen_id: 4 }), "a"), told(thread({ rev: 3, last_id: 9, seen_id: 5, peer_seen_id: 6 }), "b"));
  const { seen_id, peer_seen_id } = chat.thread(PEER);
  assert.deepEqual([seen_id, peer_seen_id], [7, 6]);
  await tell(chat, socket, told(thread({ rev: 4, last_id: 9, seen_id: 6, peer_seen_id: 2 }), "c"));
  assert.equal(chat.thread(PEER).peer_seen_id, 2, "after a block it may be lower");
  assert.equal(chat.thread(PEER).seen_id, 7, "one's own never goes back: it was acknowledged meanwhile");
});

test("it rings for what is new, of the peer, and not held", OPTIONS, async (t) => {
  const { chat, socket } = await connected(t);
  const rings = [];
  chat.on("message", ({ message, ring }) => ring && rings.push(message.id));
  await tell(
    chat,
    socket,
    came(message(1)),
    came(message(1, { rev: 20, message: "edited" })),
    came(message(2), { new: false }),
    came(message(3, { sender_id: ME })),
    came(message(4, { deleted: true, message: "" })),
    came(message(5, { hidden: true, message: "" })),
    came(message(6)),
  );
  assert.deepEqual(rings, [1, 6, 999_999]);
});

test("a thread that is not held is read, also after a failure", OPTIONS, async (t) => {
  const { server, chat, socket } = await connected(t);
  let tries = 0;
  server.answer = ({ path }) => {
    if (path !== `/v2/threads/${PEER}`) return;
    if (++tries === 1) return problem(503, "unavailable");
    return { body: threadObject({ rev: 8, last_id: 7, unread: 2, peer: { id: PEER, email: "bob@example.com", profile: null }, last_message: message(7) }) };
  };
  await tell(chat, socket, came(message(7)));
  await eventually(() => tries === 1);
  assert.equal(chat.thread(PEER).peer, null);
  socket.cut();
  const next = await server.connection();
  assert.equal(next.query.after, "last");
  next.greet();
  await eventually(() => chat.thread(PEER).peer);
  assert.deepEqual([chat.thread(PEER).peer.email, chat.thread(PEER).unread], ["bob@example.com", 2]);
});

test("a new install: a snapshot, its further pages, then the socket", OPTIONS, async (t) => {
  const server = await scripted(t);
  const peers = Array.from({ length: 5 }, (_, i) => `00000000-0000-4000-8000-00000000000${i}`);
  const of = (i) => threadObject({ id: i + 1, peer_id: peers[i], last_id: 10 - i, unread: 1, rev: 5, last_message: message(10 - i, { thread: i + 1, sender_id: peers[i] }) });
  server.answer = ({ path, query }) => {
    if (path === "/v2/sync") return { body: { threads: [of(0), of(1)], next: "n1", cursor: "c5", unread_total: 5 } };
    if (path === "/v2/threads" && query.next === "n1") return { body: { threads: [of(2), of(3)], next: "n2", unread_total: 5 } };
    if (path === "/v2/threads" && query.next === "n2") return problem(400, "invalid_field");
    if (path === "/v2/threads") return { body: { threads: peers.map((_, i) => of(i)), next: null, unread_total: 5 } };
  };
  const chat = client(t, server);
  chat.connect();
  const socket = await server.connection();
  assert.equal(socket.query.after, "c5");
  socket.greet({ cursor: "c5" }, { cursor: "c5", unread_total: 5 });
  await eventually(() => chat.threads().length === 5, "all threads");
  assert.deepEqual(chat.threads().map(({ last_id }) => last_id), [10, 9, 8, 7, 6]);
  await eventually(() => chat.unreadTotal === 5);
  assert.deepEqual(texts(chat, peers[4]), ["text 6"]);
});

for (const reset of ["epoch", "unknown"]) {
  test(`reset ${reset}: everything but the outbox is replaced, and what comes meanwhile survives`, OPTIONS, async (t) => {
    const store = new MemoryStore();
    const { server, chat, socket } = await connected(t, { store });
    await tell(chat, socket, came(message(1, { rev: 100, message: "of the lost branch" })), came(message(2, { rev: 101 })));
    chat.seen(PEER);
    await chat.send(PEER, "mine");
    const before = await socket.next("chat_message");
    let answer;
    server.answer = ({ path }) => (path === "/v2/sync" ? new Promise((go) => (answer = go)) : undefined);
    socket.cut();
    const next = await server.connection();
    next.send(hello({ resumed: false, reset, cursor: "d0" }), live({ cursor: "d0" }), came(message(2, { rev: 9, message: "edited" }), { cursor: "d9" }), came(message(3, { rev: 10 }), { cursor: "d10" }));
    await eventually(() => answer);
    const done = until(chat, "reset");
    answer({ body: { threads: [threadObject({ rev: 8, last_id: 2, unread: 1, last_message: message(2, { rev: 7 }) })], next: null, cursor: "d8", unread_total: 0 } });
    assert.equal((await done).reset, reset);
    await eventually(() => chat.messages(PEER).length === 3);
    assert.deepEqual(texts(chat, PEER), ["edited", "text 3", "mine"]);
    assert.equal(chat.thread(PEER).unread, 2, "what was seen in the lost branch was another message");
    assert.equal((await next.next("chat_message")).client_ref, before.client_ref);
    await eventually(async () => (await store.load()).cursor === "d10", "the cursor of the last frame");
    assert.equal((await store.load()).messages.some(({ rev }) => rev >= 100), false);
  });
}

test("a reset whose snapshot fails begins again, with the old cursor", OPTIONS, async (t) => {
  const { server, chat, socket } = await connected(t);
  await tell(chat, socket, came(message(1)));
  let fails = true;
  server.answer = ({ path }) => {
    if (path !== "/v2/sync") return;
    return fails ? problem(503, "unavailable") : { body: { threads: [], next: null, cursor: "d0", unread_total: 0 } };
  };
  socket.cut();
  const second = await server.connection();
  second.send(hello({ resumed: false, reset: "epoch", cursor: "d0" }), live({ cursor: "d0" }), came(message(9), { cursor: "d9" }));
  const third = await server.connection();
  assert.equal(third.query.after, "last");
  fails = false;
  third.send(hello({ resumed: false, reset: "epoch", cursor: "d0" }), live({ cursor: "d0" }));
  await until(chat, "reset");
  assert.deepEqual(chat.threads(), []);
});

test("far behind: a snapshot, and again from its cursor", OPTIONS, async (t) => {
  const server = await scripted(t);
  const chat = client(t, server, { farBehind: 100 });
  chat.connect();
  const first = await server.connection();
  first.send(hello({ behind: 101 }));
  server.answer = ({ path }) => (path === "/v2/sync" ? { body: { threads: [threadObject()], next: null, cursor: "far", unread_total: 0 } } : undefined);
  const second = await server.connection();
  assert.equal(second.query.after, "far");
  second.greet({ behind: 100 });
  await eventually(() => chat.state === "live");
  assert.equal(chat.threads().length, 1);
});

test("an answer from before a snapshot does not meet what is after it", OPTIONS, async (t) => {
  const { server, chat, socket } = await connected(t);
  await tell(chat, socket, came(message(5)));
  let answer;
  server.answer = ({ path }) => (path.endsWith("/messages") ? new Promise((go) => (answer = go)) : undefined);
  const read = chat.history(PEER);
  await eventually(() => answer);
  socket.cut();
  (await server.connection()).greet({ resumed: false, reset: "epoch", cursor: "d0" }, { cursor: "d0" });
  await until(chat, "reset");
  answer({ body: { messages: [message(4, { message: "of the lost branch" })], next: null } });
  await assert.rejects(read, { code: "superseded" });
  assert.deepEqual(texts(chat, PEER), []);
});

test("the cursor is stored with its data, and read again", OPTIONS, async (t) => {
  const store = new MemoryStore();
  const batches = [];
  const apply = store.apply.bind(store);
  store.apply = (generation, batch) => {
    batches.push([batch.messages.map(({ id }) => id), batch.cursor]);
    return apply(generation, batch);
  };
  const { server, chat, socket } = await connected(t, { store });
  for (const id of [1, 2, 3]) {
    socket.send(came(message(id)));
    await eventually(async () => (await store.load()).cursor === `c${id}`);
  }
  for (const [ids, cursor] of batches) if (ids.length) assert.equal(cursor, `c${Math.max(...ids)}`);
  await chat.close();
  const next = client(t, server, { store });
  await next.load();
  assert.deepEqual(texts(next, PEER), ["text 1", "text 2", "text 3"]);
  next.connect();
  assert.equal((await server.connection()).query.after, "c3");
});

test("a store that fails keeps no cursor without its data", OPTIONS, async (t) => {
  const store = new MemoryStore();
  const { chat, socket } = await connected(t, { store });
  const apply = store.apply.bind(store);
  let fails = true;
  store.apply = (...of) => (fails ? Promise.reject(new Error("full")) : apply(...of));
  socket.send(came(message(1)));
  await until(chat, "error");
  fails = false;
  socket.send(came(message(2)));
  await eventually(async () => (await store.load()).cursor === "c2");
  assert.deepEqual((await store.load()).messages.map(({ id }) => id).sort(), [1, 2]);
});

test("a store that cannot be read is told of, and tried again", OPTIONS, async (t) => {
  const server = await scripted(t);
  const store = new MemoryStore();
  const load = store.load.bind(store);
  store.load = () => Promise.reject(new Error("no database"));
  const chat = client(t, server, { store });
  const told = until(chat, "error");
  chat.connect();
  assert.match(String((await told).error), /no database/);
  store.load = load;
  (await server.connection()).greet();
  await eventually(() => chat.state === "live");
});

test("a later write waits for an earlier one, which may fail", OPTIONS, async () => {
  const store = new MemoryStore();
  const apply = store.apply.bind(store);
  const gates = [];
  store.apply = async (...of) => {
    await new Promise((resolve, reject) => gates.push({ resolve, reject }));
    return apply(...of);
  };
  const keeper = new Keeper(store, 60_000, { onReplaced() {}, troubled() {} });
  await keeper.open(9);
  const add = (id) => {
    keeper.message(message(id));
    keeper.set({ cursor: `c${id}` });
    return keeper.flush();
  };
  const writes = [add(1), add(2)];
  await eventually(() => gates.length === 1);
  gates[0].reject(new Error("full"));
  await eventually(() => gates.length === 2);
  gates[1].resolve();
  await Promise.all(writes);
  const { cursor, messages } = await store.load(9);
  assert.deepEqual([cursor, messages.map(({ id }) => id).sort()], ["c2", [1, 2]]);
  keeper.stop();
});

test("another tab that took a snapshot makes this one read the store again", OPTIONS, async (t) => {
  const store = new MemoryStore();
  const { server, chat, socket } = await connected(t, { store });
  await tell(chat, socket, came(message(1, { rev: 100 })));
  await store.reset({ cursor: "d5", next: null, threads: [{ ...thread(), peer: null, created: null }], messages: [message(1, { rev: 4, message: "after the reset" })], ranges: [], removed: [], settled: [] });
  const done = until(chat, "reset");
  socket.send(came(message(2, { rev: 101 })));
  assert.equal((await done).reset, "other_tab");
  assert.deepEqual(texts(chat, PEER), ["after the reset"]);
  assert.equal((await server.connection()).query.after, "d5");
});

test("an old send that is acknowledged after a snapshot hides no hole", OPTIONS, async (t) => {
  const server = await scripted(t);
  server.answer = ({ path, query }) => {
    if (path === "/v2/sync" && !query.after) return { body: { threads: [threadObject({ last_id: 5, rev: 5, last_message: message(5) })], next: null, cursor: "c5", unread_total: 0 } };
    if (path === `/v2/threads/${PEER}/messages`) return { body: { messages: [message(4), message(3, { sender_id: ME, receiver_id: PEER })], next: null } };
  };
  const chat = client(t, server);
  chat.connect();
  const socket = await server.connection();
  socket.greet();
  const { sent: done } = await chat.send(PEER, "text 3");
  // It was stored before, and its ack lost: the peer has answered since.
  socket.send(sent(await socket.next("chat_message"), 3, { repeated: true }));
  await done;
  assert.deepEqual(texts(chat, PEER), ["text 5"]);
  assert.equal(await chat.history(PEER), false);
  assert.deepEqual(texts(chat, PEER), ["text 3", "text 4", "text 5"]);
});

test("woken by a push: all pages, then delivered, without a socket", OPTIONS, async (t) => {
  const server = await scripted(t);
  const marks = [];
  server.answer = ({ path, query, method, body }) => {
    if (method === "PUT") return marks.push([path, body.up_to]) && { body: thread({ rev: 20, last_id: 2, unread: 2, delivered_id: 2 }) };
    if (path !== "/v2/sync" || !query.after) return;
    if (query.after === "c0") return { body: { changes: [{ action: "message", new: true, message: message(1) }], cursor: "c1", more: true, unread_total: 2 } };
    return { body: { changes: [{ action: "message", new: true, message: message(2) }], cursor: "c2", more: false, unread_total: 2 } };
  };
  const chat = client(t, server);
  const rings = [];
  chat.on("message", ({ message, ring }) => ring && rings.push(message.id));
  assert.equal(await chat.pull(), 2);
  assert.deepEqual([rings, marks], [[1, 2], [[`/v2/threads/${PEER}/delivered`, 2]]]);
  assert.equal(server.opened.length, 0);
  server.answer = ({ path, query }) =>
    path === "/v2/sync" && query.after
      ? query.after === "c2"
        ? problem(410, "reset", { reset: "epoch" })
        : { body: { changes: [], cursor: "c0", more: false, unread_total: 0 } }
      : undefined;
  const done = until(chat, "reset", ({ reset }) => reset === "epoch");
  await chat.pull();
  await done;
});

test("woken by a push, it tells of what was seen, too", OPTIONS, async (t) => {
  const store = new MemoryStore();
  const { server, chat: before, socket } = await connected(t, { store });
  await tell(before, socket, came(message(1)));
  await before.close();
  const marks = [];
  server.answer = ({ path, query, method, body }) => {
    if (method === "PUT") return marks.push([path.split("/").at(-1), body.up_to]) && { body: thread({ rev: 20, last_id: 2 }) };
    if (path === "/v2/sync" && query.after) return { body: { changes: [{ action: "message", new: true, message: message(2) }], cursor: "c2", more: false, unread_total: 2 } };
  };
  const chat = client(t, server, { store });
  await chat.load();
  chat.seen(PEER);
  await chat.pull();
  assert.deepEqual(marks.sort(), [["delivered", 2], ["seen", 1]]);
});

test("receipts: one delivered for a batch, seen for what is shown, and nothing twice", OPTIONS, async (t) => {
  const { chat, socket } = await connected(t, { timing: { receipts: 15, silence: 25 } });
  await tell(chat, socket, came(message(1)), came(message(2)), came(message(3)));
  const delivered = await socket.frames.next((frame) => frame.action === "delivered" && frame.peer_id === PEER);
  assert.equal(delivered.up_to, 3);
  socket.send(ack(delivered, { peer_id: PEER, delivered_id: 3 }));
  await eventually(() => chat.thread(PEER).delivered_id === 3);
  const counted = until(chat, "unread");
  chat.seen(PEER);
  chat.seen(PEER, 2);
  assert.equal((await counted).total, 1, "the badge goes at once");
  const seen = await socket.next("seen");
  assert.equal(seen.up_to, 3);
  socket.send(ack(seen, { peer_id: PEER, seen_id: 3, unread: 0, last_id: 3 }));
  await eventually(() => chat.thread(PEER).seen_id === 3);
  chat.seen(PEER);
  await tell(chat, socket, came(message(4)));
  const again = await socket.frames.next((frame) => frame.peer_id === PEER);
  socket.send(ack(again, { peer_id: PEER, delivered_id: 4 }));
  // Pings are its clock: each is later than a receipt would be.
  const { pings } = socket;
  await eventually(() => socket.pings >= pings + 3);
  assert.deepEqual(socket.seen.filter(({ peer_id }) => peer_id === PEER).map(({ action, up_to }) => [action, up_to]), [["delivered", 3], ["seen", 3], ["delivered", 4]]);
});

test("a receipt that was not answered goes out on the next connection", OPTIONS, async (t) => {
  const { server, chat, socket } = await connected(t);
  await tell(chat, socket, came(message(1)));
  chat.seen(PEER);
  await socket.frames.next((frame) => frame.peer_id === PEER);
  socket.cut();
  const next = await server.connection();
  next.greet();
  const again = await next.frames.next((frame) => frame.peer_id === PEER && frame.action === "seen");
  assert.equal(again.up_to, 1);
});

test("typing: repeated while it goes on, and ended", OPTIONS, async (t) => {
  const { chat, socket } = await connected(t, { timing: { typingRepeat: 40, typingIdle: 60, typingEnd: 50 } });
  const frames = () => socket.seen.filter(({ action }) => action === "typing").map(({ typing }) => typing);
  chat.typing(PEER);
  chat.typing(PEER);
  await eventually(() => frames().length === 1);
  await eventually(() => {
    chat.typing(PEER);
    return frames().length >= 2;
  });
  await eventually(() => frames().at(-1) === false, "its end by itself");
  chat.typing(PEER);
  chat.typing(PEER, false);
  await eventually(() => frames().slice(-2).join() === "true,false");
  // The peer's.
  const seen = [];
  chat.on("typing", ({ peer_id, typing }) => seen.push([peer_id, typing]));
  const begun = until(chat, "typing");
  socket.send({ action: "typing", peer_id: PEER, typing: true });
  await begun;
  await until(chat, "typing");
  socket.send({ action: "typing", peer_id: PEER, typing: true }, came(message(1)));
  await eventually(() => seen.length === 4, "its end by a message");
  assert.deepEqual(seen.map(([, typing]) => typing), [true, false, true, false]);
});

test("presence: asked for again on each connection", OPTIONS, async (t) => {
  const { server, chat, socket } = await connected(t);
  const seen = [];
  chat.on("presence", (presence) => seen.push(presence));
  chat.watchPresence([PEER.toUpperCase()]);
  const frame = await socket.next("presence_watch");
  assert.deepEqual(frame.peer_ids, [PEER]);
  socket.send(ack(frame, { states: [{ peer_id: PEER, online: true, last_seen: null }] }), { action: "presence", peer_id: PEER, online: false, last_seen: null });
  await eventually(() => seen.length === 2);
  assert.deepEqual(seen.map(({ online }) => online), [true, false]);
  socket.cut();
  const next = await server.connection();
  next.greet();
  await next.next("presence_watch");
  const hidden = chat.setPresence("nobody");
  next.send(ack(await next.next("presence_set")));
  await hidden;
});

test("a profile that changed", OPTIONS, async (t) => {
  const { chat, socket } = await connected(t);
  await tell(chat, socket, came(message(1)));
  await eventually(() => chat.thread(PEER)?.peer);
  const told = until(chat, "user");
  socket.send({ action: "user", user: { id: PEER, email: "new@example.com", profile: null } });
  await told;
  assert.equal(chat.thread(PEER).peer.email, "new@example.com");
});

test("verbs are repeated after a break, and refused with their code", OPTIONS, async (t) => {
  const { server, chat, socket } = await connected(t);
  await tell(chat, socket, came(message(1, { sender_id: ME })));
  const edit = chat.edit(1, "new");
  const frame = await socket.next("message_edit");
  assert.deepEqual([frame.message_id, frame.message_body, "meta" in frame], [1, "new", false]);
  socket.cut();
  const next = await server.connection();
  next.greet();
  next.send(refused(await next.next("message_edit"), "unavailable"));
  const third = await next.next("message_edit");
  next.send(ack(third, { message_id: 1, updated: "2026-11-30T08:00:01.000000Z" }));
  assert.equal((await edit).updated, "2026-11-30T08:00:01.000000Z");
  server.answer = ({ path }) => (path === "/v2/messages/1" ? { body: message(1, { sender_id: ME, deleted: true, message: "", rev: 60 }) } : undefined);
  const late = chat.edit(1, "later");
  next.send(refused(await next.next("message_edit"), "too_late"));
  await assert.rejects(late, { code: "too_late" });
  await eventually(() => chat.messages(PEER)[0].deleted, "what became of it");
  const block = chat.block(PEER);
  const unblock = chat.unblock(PEER);
  await assert.rejects(block, { code: "superseded" });
  next.send(ack(await next.next("unblock")));
  await unblock;
  const gone = chat.delete(1, "me");
  const deletion = await next.next("message_delete");
  assert.equal(deletion.for, "me");
  next.send(ack(deletion, { message_id: 1 }));
  await gone;
});

test("a verb that nobody answers in time fails", OPTIONS, async (t) => {
  const { chat } = await connected(t, { timing: { request: 30 } });
  await assert.rejects(chat.block(PEER), { code: "no_answer" });
});

test("pages: search, blocks and a conversation", OPTIONS, async (t) => {
  const server = await scripted(t);
  server.answer = ({ path, query }) => {
    if (path === "/v2/search") return query.next ? { body: { messages: [message(1)], next: null } } : { body: { messages: [message(2)], next: "n" } };
    if (path === "/v2/blocks") return { body: { blocks: [{ peer_id: PEER, created: "" }], next: null } };
    if (path.endsWith("/messages")) return query.next ? { body: { messages: [], next: null } } : { body: { messages: [message(9)], next: "n" } };
  };
  const chat = client(t, server);
  const all = async (pages) => {
    const items = [];
    for await (const item of pages) items.push(item.id ?? item.peer_id);
    return items;
  };
  assert.deepEqual(await all(chat.search("two words", { peerId: PEER })), [2, 1]);
  assert.deepEqual(await all(chat.blocks()), [PEER]);
  assert.deepEqual(await all(chat.read(PEER, { order: "oldest", limit: 1 })), [9]);
  assert.deepEqual(server.requests.slice(0, 2), [`GET /v2/search?q=two%20words&peer_id=${PEER}`, "GET /v2/search?next=n"]);
  server.answer = () => problem(404, "not_enabled");
  await assert.rejects(all(chat.search("x")), { code: "not_enabled" });
});

test("requests: a refused token is replaced, waits are told, and a body that is cut is an error", OPTIONS, async (t) => {
  const server = await scripted(t);
  const tokens = ["old", "new"];
  const chat = client(t, server, { token: () => tokens.shift() });
  server.answer = ({ token }) => (token === "old" ? problem(401, "invalid_token") : { body: { user: {} } });
  assert.deepEqual(await chat.rest.get("/v2/me"), { user: {} });
  server.answer = () => problem(429, "rate_limited", {}, { "Retry-After": "2" });
  await assert.rejects(chat.rest.get("/v2/me"), { code: "rate_limited", status: 429, retryAfter: 2000, transient: true });
  server.answer = ({ response }) => {
    response.writeHead(200, { "Content-Length": "100" });
    response.write('{"user":');
    setTimeout(() => response.destroy(), 5);
    return new Promise(() => {});
  };
  await assert.rejects(chat.rest.get("/v2/me"), { code: "no_answer" });
  server.answer = () => ({ status: 502, body: undefined });
  await assert.rejects(chat.rest.get("/v2/me"), { code: "unavailable", transient: true });
});

test("an iterator of events, which does not grow without end", OPTIONS, async (t) => {
  const { chat, socket } = await connected(t);
  const events = chat.events();
  await tell(chat, socket, ...Array.from({ length: 600 }, (_, i) => came(message(i + 1))));
  assert.equal((await events.next()).value.type, "overflow");
  await events.return();
  assert.deepEqual(await events.next(), { value: undefined, done: true });
  const again = chat.events();
  const ended = again.next();
  await chat.close();
  const types = [(await ended).value?.type];
  for await (const { type } of again) types.push(type);
  assert.ok(types.includes("state"), String(types));
});

test("links of files", OPTIONS, async (t) => {
  const server = await scripted(t);
  server.answer = ({ path, body }) => (path === "/v2/ticket" ? { body: { url: `${body.path}?sig=1`, expires_in_s: 300 } } : undefined);
  const chat = client(t, server);
  const link = await chat.link({ url: "/mediafiles/a.png", name: "a.png", size: 1, content_type: "image/png" });
  assert.deepEqual(link, { url: `${server.url}/mediafiles/a.png?sig=1`, expires_in_s: 300 });
});
