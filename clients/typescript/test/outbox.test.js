/** What is to be sent: once, in order, whatever the server answers, over reloads and tabs. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryStore } from "../src/index.js";
import { client, connected, eventually, scripted, texts, until } from "./tools/client.js";
import { ME, OTHER, PEER, TIME, came, hello, message, problem, refused, sent, threadObject } from "./tools/scripted.js";

const OPTIONS = { timeout: 30_000 };

const own = (frame, id, more = {}) =>
  message(id, { sender_id: ME, receiver_id: frame.receiver_id, message: frame.message_body, client_ref: frame.client_ref, ...more });

test("a send is shown at once, and settled by its ack", OPTIONS, async (t) => {
  const { chat, socket } = await connected(t);
  const { clientRef, sent: done } = await chat.send(PEER, "hi", { replyTo: 3, meta: { kind: "x" } });
  const [shown] = chat.messages(PEER);
  assert.deepEqual([shown.status, shown.id, shown.message, shown.client_ref], ["pending", 0, "hi", clientRef]);
  const frame = await socket.next("chat_message");
  const { ref, ...rest } = frame;
  assert.deepEqual(rest, {
    action: "chat_message",
    message_body: "hi",
    receiver_id: PEER,
    client_ref: clientRef,
    reply_to: 3,
    meta: { kind: "x" },
  });
  socket.send(sent(frame, 9));
  assert.deepEqual(await done, { client_ref: clientRef, message_id: 9, thread: 1, created: TIME });
  const [stored] = chat.messages(PEER);
  assert.deepEqual([stored.status, stored.id, stored.message, stored.client_ref], ["sent", 9, "hi", clientRef]);
  // Its frame replaces what was known from the ack.
  const changed = until(chat, "message", ({ message }) => message.rev === 9);
  socket.send(came(own(frame, 9, { meta: { kind: "x" } })));
  await changed;
  assert.equal(chat.messages(PEER).length, 1);
});

test("its own message settles it, before the ack or without one", OPTIONS, async (t) => {
  const { chat, socket } = await connected(t);
  const { sent: done } = await chat.send(PEER, "hi");
  const frame = await socket.next("chat_message");
  socket.send(came(own(frame, 4)), sent(frame, 4));
  assert.equal((await done).message_id, 4);
  assert.deepEqual(chat.messages(PEER).map(({ id, status }) => [id, status]), [[4, "sent"]]);
});

test("one text per thread is under way, and threads do not wait for each other", OPTIONS, async (t) => {
  const { chat, socket } = await connected(t);
  for (const text of ["a1", "a2", "a3"]) await chat.send(PEER, text);
  await chat.send(OTHER, "b1");
  const first = await socket.next("chat_message");
  const other = await socket.next("chat_message");
  assert.deepEqual([first.message_body, other.message_body], ["a1", "b1"]);
  assert.equal(socket.seen.length, 2);
  socket.send(sent(first, 1));
  const second = await socket.next("chat_message");
  assert.equal(second.message_body, "a2");
  // A refused one does not hold up those behind it.
  socket.send(refused(second, "invalid_receiver"));
  assert.equal((await socket.next("chat_message")).message_body, "a3");
});

for (const code of ["unavailable", "outcome_unknown", "internal", "rate_limited"]) {
  test(`after ${code} the same goes out again`, OPTIONS, async (t) => {
    const { chat, socket } = await connected(t);
    const { clientRef, sent: done } = await chat.send(PEER, "hi");
    await chat.send(OTHER, "others do not wait");
    const begun = Date.now();
    const wait = code === "rate_limited" ? 80 : null;
    const first = await socket.frames.next((frame) => frame.receiver_id === PEER);
    socket.send(refused(first, code, { retry_after_ms: wait }));
    await socket.frames.next((frame) => frame.receiver_id === OTHER);
    const again = await socket.frames.next((frame) => frame.receiver_id === PEER);
    assert.equal(again.client_ref, clientRef);
    if (wait) assert.ok(Date.now() - begun >= wait - 5, "it waits as long as it was told");
    socket.send(sent(again, 3, { repeated: true }));
    await done;
  });
}

for (const code of ["invalid_json", "unknown_action", "invalid_field", "message_too_large", "invalid_receiver", "not_found", "not_allowed", "new_code"]) {
  test(`${code} is the last word, and may be tried again by hand`, OPTIONS, async (t) => {
    const { chat, socket } = await connected(t);
    const failed = until(chat, "failed");
    const { clientRef, sent: done } = await chat.send(PEER, "hi");
    socket.send(refused(await socket.next("chat_message"), code));
    await assert.rejects(done, { code, clientRef });
    assert.equal((await failed).client_ref, clientRef);
    const [shown] = chat.messages(PEER);
    assert.deepEqual([shown.status, shown.error], ["failed", code]);
    assert.equal(await chat.retry(clientRef), true);
    const again = await socket.next("chat_message");
    assert.equal(again.client_ref, clientRef);
    socket.send(sent(again, 3));
    await eventually(() => chat.messages(PEER)[0].status === "sent");
  });
}

test("a reply whose message is gone goes out without it", OPTIONS, async (t) => {
  const { chat, socket } = await connected(t);
  const { clientRef } = await chat.send(PEER, "hi", { replyTo: 77 });
  socket.send(refused(await socket.next("chat_message"), "not_found"));
  const again = await socket.next("chat_message");
  assert.deepEqual([again.client_ref, again.reply_to], [clientRef, undefined]);
});

test("a lost connection repeats what was not answered, in its order", OPTIONS, async (t) => {
  const { server, chat, socket } = await connected(t);
  const first = await chat.send(PEER, "one");
  await chat.send(PEER, "two");
  await socket.next("chat_message");
  socket.cut();
  const next = await server.connection();
  next.greet();
  const again = await next.next("chat_message");
  assert.equal(again.client_ref, first.clientRef);
  next.send(sent(again, 1, { repeated: true }));
  await first.sent;
  assert.equal((await next.next("chat_message")).message_body, "two");
});

test("a repetition that was changed since is read", OPTIONS, async (t) => {
  const { server, chat, socket } = await connected(t);
  server.answer = ({ path }) => (path === "/v2/messages/5" ? { body: message(5, { sender_id: ME, message: "edited", rev: 50 }) } : undefined);
  await chat.send(PEER, "hi");
  const frame = await socket.next("chat_message");
  socket.send(sent(frame, 5, { repeated: true }));
  await eventually(() => texts(chat, PEER)[0] === "edited");
});

test("what was written down goes out after the tab is gone", OPTIONS, async (t) => {
  const server = await scripted(t);
  const store = new MemoryStore();
  const tab = client(t, server, { store });
  const { clientRef } = await tab.send(PEER, "before it is connected");
  await tab.send(PEER, "and one more");
  await tab.close();
  const next = client(t, server, { store });
  await next.load();
  assert.deepEqual(texts(next, PEER), ["before it is connected", "and one more"]);
  next.connect();
  const socket = await server.connection();
  socket.greet();
  const frame = await socket.next("chat_message");
  assert.equal(frame.client_ref, clientRef);
  socket.send(sent(frame, 1));
  socket.send(sent(await socket.next("chat_message"), 2));
  await eventually(async () => (await store.outbox()).length === 0, "an empty outbox");
});

test("two tabs: one sends, and the other goes on when it is gone", OPTIONS, async (t) => {
  const server = await scripted(t);
  const store = new MemoryStore();
  const first = client(t, server, { store });
  first.connect();
  const one = await server.connection();
  one.greet();
  await eventually(() => first.state === "live");
  const second = client(t, server, { store });
  second.connect();
  const two = await server.connection();
  two.greet();
  await eventually(() => second.state === "live");
  const { clientRef, sent: done } = await second.send(PEER, "from the second tab");
  const frame = await one.next("chat_message");
  assert.equal(frame.client_ref, clientRef);
  assert.equal(two.seen.length, 0, "the second one sends nothing");
  await eventually(() => texts(first, PEER).length === 1, "the first one to show it");
  // Each is told of the message, by its own connection.
  one.send(sent(frame, 1));
  two.send(came(own(frame, 1)));
  assert.equal((await done).message_id, 1);
  await second.send(PEER, "and another");
  await one.next("chat_message");
  await first.close();
  const repeated = await two.next("chat_message");
  assert.equal(repeated.message_body, "and another");
  two.send(sent(repeated, 2));
  await eventually(async () => (await store.outbox()).length === 0, "an empty outbox");
});

test("a send that another tab has found to be stored is settled", OPTIONS, async (t) => {
  const store = new MemoryStore();
  const { chat, socket } = await connected(t, { store });
  const { clientRef, sent: done } = await chat.send(PEER, "hi");
  const frame = await socket.next("chat_message");
  // A snapshot of the other tab. The message is behind its cursor: no frame tells of it.
  await store.reset({ cursor: "d5", next: null, threads: [{ ...threadObject(), last_message: undefined }], messages: [own(frame, 5)], ranges: [], removed: [], settled: [clientRef] });
  socket.send(came(message(2)));
  assert.equal((await done).message_id, 5);
  assert.deepEqual(chat.messages(PEER).map(({ id, status }) => [id, status]), [[5, "sent"]]);
});

test("a send that another tab was quicker with is settled, and may be repeated", OPTIONS, async (t) => {
  const store = new MemoryStore();
  store.watch = undefined;
  const put = store.put.bind(store);
  const { chat, socket } = await connected(t, { store });
  const clientRef = "5f6e0b52-8c7e-4e7f-9d0a-5d2f6c1b7a90";
  // It is in the store, and sent by who reads it there, before this tab goes on.
  store.put = async (entry) => {
    const seq = await put(entry);
    const told = until(chat, "message");
    socket.send(came(own({ ...entry, receiver_id: PEER }, 5)));
    await told;
    return seq;
  };
  const { sent: done } = await chat.send(PEER, "hi", { clientRef });
  assert.equal((await done).message_id, 5);
  assert.deepEqual(chat.messages(PEER).map(({ id, status }) => [id, status]), [[5, "sent"]]);
  store.put = put;
  const { sent: again } = await chat.send(PEER, "hi", { clientRef });
  socket.send(sent(await socket.next("chat_message"), 5, { repeated: true }));
  assert.equal((await again).message_id, 5);
});

test("who has the outbox next reads it first: nobody may have told of what changed", OPTIONS, async (t) => {
  const server = await scripted(t);
  const store = new MemoryStore();
  store.watch = undefined;
  const tabs = [client(t, server, { store }), client(t, server, { store })];
  const sockets = [];
  for (const tab of tabs) {
    tab.connect();
    sockets.push(await server.connection());
    sockets.at(-1).greet();
    await eventually(() => tab.state === "live");
  }
  const { clientRef } = await tabs[0].send(PEER, "hi");
  await sockets[0].next("chat_message");
  await tabs[0].close();
  assert.equal((await sockets[1].next("chat_message")).client_ref, clientRef);
});

test("what is not under way can be taken out", OPTIONS, async (t) => {
  const { chat, socket } = await connected(t);
  const first = await chat.send(PEER, "one");
  const second = await chat.send(PEER, "two");
  await socket.next("chat_message");
  assert.equal(await chat.discard(first.clientRef), false);
  assert.equal(await chat.discard(second.clientRef), true);
  await assert.rejects(second.sent, { code: "cancelled" });
  assert.deepEqual(texts(chat, PEER), ["one"]);
});

test("what is too long is refused before it could close the connection", OPTIONS, async (t) => {
  const { chat, socket } = await connected(t);
  await assert.rejects(chat.send(PEER, "\u20ac".repeat(5462)), { code: "message_too_large" });
  await chat.send(PEER, "\u20ac".repeat(5461));
  await socket.next("chat_message");
});

test("a store that cannot be written to refuses a send", OPTIONS, async (t) => {
  const { chat } = await connected(t, {
    store: Object.assign(new MemoryStore(), { put: () => Promise.reject(new Error("full")) }),
  });
  await assert.rejects(chat.send(PEER, "hi"), /full/);
  assert.deepEqual(chat.messages(PEER), []);
});

test("retention gives up what is older", OPTIONS, async (t) => {
  const server = await scripted(t);
  const store = new MemoryStore();
  await store.put({ client_ref: "5f6e0b52-8c7e-4e7f-9d0a-5d2f6c1b7a90", peer_id: PEER, message_body: "old", reply_to: null, meta: null, created: Date.now() - 2e8, seq: 0 });
  const chat = client(t, server, { store });
  chat.connect();
  const socket = await server.connection();
  socket.greet({ limits: { ...hello().limits, retain_s: 86_400 } });
  await eventually(() => chat.messages(PEER)[0]?.status === "failed");
  assert.equal(socket.seen.length, 0);
});

for (const [way, options] of [["fetch", {}], ["XMLHttpRequest", { XMLHttpRequest: FakeXhr() }]]) {
  test(`a file by ${way}: progress, and its message`, OPTIONS, async (t) => {
    const { server, chat } = await connected(t, options);
    let form;
    server.answer = async ({ path, query, type, bytes }) => {
      if (!path.endsWith("/attachments")) return;
      form = await new Response(bytes, { headers: { "Content-Type": type } }).formData();
      assert.equal(path, `/v2/threads/${PEER}/attachments`);
      assert.equal(query.dispatch, "true");
      return { status: 201, body: message(6, { sender_id: ME, client_ref: query.client_ref, attachment: { url: "/m/x", name: "x.bin", size: 100_000, content_type: "application/octet-stream" } }) };
    };
    const moved = [];
    chat.on("upload", ({ sent, total }) => moved.push([sent, total]));
    const { sent: done } = await chat.upload(PEER, new Blob([new Uint8Array(100_000)]), { name: "x.bin", message: "look", meta: { a: 1 } });
    const [pending] = chat.messages(PEER);
    assert.deepEqual([pending.status, pending.attachment?.name], ["pending", "x.bin"]);
    assert.equal((await done).message_id, 6);
    assert.deepEqual([form.get("message_body"), form.get("meta"), form.get("attached_file").size, form.get("attached_file").name], ["look", '{"a":1}', 100_000, "x.bin"]);
    assert.equal(moved.at(-1)[0], moved.at(-1)[1]);
    assert.equal(chat.messages(PEER)[0].attachment.url, "/m/x");
  });
}

test("a file whose answer was lost is asked for before it is sent again", OPTIONS, async (t) => {
  const { server, chat } = await connected(t);
  let tries = 0;
  server.answer = ({ path, query }) => {
    if (path.endsWith("/attachments")) return ++tries && "cut";
    if (path.startsWith("/v2/sends/")) return { body: message(8, { sender_id: ME, client_ref: path.split("/").at(-1) }) };
  };
  const { sent: done } = await chat.upload(PEER, new Blob(["abc"]));
  assert.equal((await done).message_id, 8);
  assert.equal(tries, 1);
});

test("a file that was not stored is sent again, also by the next tab", OPTIONS, async (t) => {
  const store = new MemoryStore();
  const { server, chat } = await connected(t, { store });
  let tries = 0;
  server.answer = ({ path, query }) => {
    if (!path.endsWith("/attachments")) return;
    if (++tries < 3) return problem(503, "unavailable");
    if (tries === 3) return "hang";
    return { status: 201, body: message(8, { sender_id: ME, client_ref: query.client_ref }) };
  };
  await chat.upload(PEER, new Blob(["abc"]));
  await eventually(() => tries === 3);
  await chat.close();
  const next = client(t, server, { store });
  next.connect();
  (await server.connection()).greet();
  await eventually(async () => (await store.outbox()).length === 0, "an empty outbox");
  assert.equal(tries, 4);
});

test("an upload can be cancelled, and is refused for good", OPTIONS, async (t) => {
  const { server, chat } = await connected(t);
  server.answer = ({ path }) => (path.endsWith("/attachments") ? "hang" : undefined);
  const { clientRef, sent: done } = await chat.upload(PEER, new Blob(["abc"]));
  await eventually(() => server.requests.some((request) => request.includes("/attachments")));
  assert.equal(await chat.discard(clientRef), true);
  await assert.rejects(done, { code: "cancelled" });
  assert.deepEqual(chat.messages(PEER), []);
  server.answer = ({ path }) => (path.endsWith("/attachments") ? problem(413, "message_too_large") : undefined);
  const { sent: large } = await chat.upload(PEER, new Blob(["abc"]));
  await assert.rejects(large, { code: "message_too_large", status: 413 });
});

test("an upload that is cancelled before it begins sends nothing", OPTIONS, async (t) => {
  const store = new MemoryStore();
  const put = store.put.bind(store);
  let begin;
  const begins = new Promise((resolve) => {
    store.put = async (entry) => {
      const seq = await put(entry);
      if (entry.begun) await new Promise((release) => resolve((begin = release)));
      return seq;
    };
  });
  let sends = 0;
  class Counted extends FakeXhr() {
    send(body) {
      sends++;
      return super.send(body);
    }
  }
  const { server, chat } = await connected(t, { store, XMLHttpRequest: Counted, uploads: 1 });
  const { clientRef, sent: done } = await chat.upload(PEER, new Blob(["abc"]));
  await begins;
  assert.equal(await chat.discard(clientRef), true);
  await assert.rejects(done, { code: "cancelled" });
  store.put = put;
  server.answer = ({ path, query }) =>
    path.endsWith("/attachments") ? { status: 201, body: message(8, { sender_id: ME, client_ref: query.client_ref }) } : undefined;
  // It has to wait for the end of the first.
  const { sent: next } = await chat.upload(PEER, new Blob(["def"]));
  begin();
  await next;
  assert.equal(sends, 1);
});

/** What a browser has, as far as it is used, by fetch. */
function FakeXhr() {
  return class {
    upload = {};
    #headers = {};
    #abort = new AbortController();
    open(method, address) {
      Object.assign(this, { method, address });
    }
    setRequestHeader(name, value) {
      this.#headers[name] = value;
    }
    abort() {
      this.#abort.abort();
      this.onabort();
    }
    async send(body) {
      try {
        const answer = await fetch(this.address, { method: this.method, headers: this.#headers, body, signal: this.#abort.signal });
        this.upload.onprogress({ loaded: 100_300, total: 100_300 });
        this.status = answer.status;
        this.responseText = await answer.text();
        this.getResponseHeader = (name) => answer.headers.get(name);
        this.onload();
      } catch {
        this.onerror();
      }
    }
  };
}
