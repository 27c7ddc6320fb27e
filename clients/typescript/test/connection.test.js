/** The connection: what each close means, liveness, and a server that is not there. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { afterClose } from "../src/closes.js";
import { growing } from "../src/backoff.js";
import { client, connected, eventually, scripted, until } from "./tools/client.js";
import { ME, PEER, came, hello, live, message, problem } from "./tools/scripted.js";

const OPTIONS = { timeout: 30_000 };
const stateIs = (chat, state) => until(chat, "state", (event) => event.state === state);

for (const [code, greeted, expected] of [
  [1000, true, { wait: "backoff" }],
  [1001, true, { wait: "drain" }],
  [1001, false, { wait: "backoff" }],
  [1002, true, { wait: "flood" }],
  [1002, false, { wait: "backoff" }],
  [1006, true, { wait: "backoff" }],
  [1007, true, { wait: "flood" }],
  [1008, true, { wait: "flood" }],
  [1009, true, { wait: "flood" }],
  [1011, true, { wait: "backoff" }],
  [1012, true, { wait: "backoff" }],
  [1013, true, { wait: "backoff" }],
  [4401, false, { wait: "backoff", refused: true }],
  [4403, false, { wait: "backoff", stop: "signed_out" }],
  [4409, true, { wait: "backoff", stop: "replaced" }],
  [4400, true, { wait: "backoff", stop: "refused" }],
  [4499, true, { wait: "backoff", stop: "refused" }],
  [4500, true, { wait: "backoff" }],
  [4999, true, { wait: "backoff" }],
]) {
  test(`a close by ${code} ${greeted ? "after" : "before"} hello`, () => {
    assert.deepEqual(afterClose(code, greeted), { stop: undefined, refused: false, ...expected });
  });
}

test("the backoff grows to its end, at random", () => {
  const waits = Array.from({ length: 9 }, growing(500, 60_000, () => 1));
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
  assert.equal(growing(500, 60_000, () => 0.25)(), 125);
});

for (const code of [1001, 1006, 1011, 1012, 1013, 4500, 4999, null]) {
  test(`comes back after ${code}, from its cursor`, OPTIONS, async (t) => {
    const { server, chat, socket } = await connected(t);
    const arrived = until(chat, "message");
    socket.send(came(message(7)));
    await arrived;
    if (code === 1006) socket.cut();
    else socket.close(code);
    const second = await server.connection();
    assert.equal(second.query.after, "c7");
    const isLive = stateIs(chat, "live");
    second.greet({ cursor: "c7" }, { cursor: "c7" });
    await isLive;
  });
}

for (const [code, reason] of [
  [4409, "replaced"],
  [4400, "refused"],
  [4403, "signed_out"],
]) {
  test(`stays away after ${code}`, OPTIONS, async (t) => {
    const { server, chat, socket } = await connected(t);
    const stopped = stateIs(chat, "stopped");
    socket.close(code);
    assert.equal((await stopped).reason, reason);
    assert.equal(server.opened.length, 1);
    if (reason === "signed_out") {
      await until(chat, "signed_out");
      assert.equal(chat.userId, null);
      return;
    }
    // The user comes back to the app.
    chat.wake();
    (await server.connection()).greet();
    await stateIs(chat, "live");
  });
}

test("after 1009 the largest frame is not repeated, and it waits", OPTIONS, async (t) => {
  const { server, chat, socket } = await connected(t, { timing: { flood: 60 } });
  const small = await chat.send(PEER, "small");
  const { sent } = await chat.send("ca701000-0000-4000-8000-000000000003", "x".repeat(500));
  await socket.next("chat_message");
  await socket.next("chat_message");
  const before = Date.now();
  socket.close(1009);
  await assert.rejects(sent, { code: "message_too_large" });
  const second = await server.connection();
  assert.ok(Date.now() - before >= 55, "it waits");
  second.greet();
  const frame = await second.next("chat_message");
  assert.equal(frame.client_ref, small.clientRef);
});

test("a refused token is replaced, and without another it stays away", OPTIONS, async (t) => {
  const server = await scripted(t);
  const tokens = ["one", "two"];
  const asked = [];
  const chat = client(t, server, {
    token: ({ refresh }) => {
      asked.push(refresh);
      return tokens.shift() ?? null;
    },
  });
  const stopped = stateIs(chat, "stopped");
  chat.connect();
  const first = await server.connection();
  assert.equal(first.query.token, "one");
  first.close(4401);
  const second = await server.connection();
  assert.equal(second.query.token, "two");
  second.close(4401);
  assert.equal((await stopped).reason, "token");
  assert.deepEqual(asked, [false, true, true]);
  tokens.push("three");
  chat.connect();
  const third = await server.connection();
  assert.equal(third.query.token, "three");
});

test("a first frame that is not hello is an old server", OPTIONS, async (t) => {
  const server = await scripted(t);
  const chat = client(t, server);
  chat.connect();
  (await server.connection()).send({ action: "error", code: "unknown_action", message: "" });
  const second = await server.connection();
  second.greet();
  await stateIs(chat, "live");
});

test("without hello in time it leaves", OPTIONS, async (t) => {
  const server = await scripted(t);
  const chat = client(t, server, { timing: { hello: 60 } });
  chat.connect();
  const first = await server.connection();
  await server.connection();
  await first.ended;
});

test("hello in the segment of the 101 is seen", OPTIONS, async (t) => {
  const server = await scripted(t);
  server.greeting = () => [hello(), live(), came(message(3))];
  const chat = client(t, server);
  const arrived = until(chat, "message");
  chat.connect();
  assert.equal((await arrived).message.id, 3);
  assert.equal(chat.userId, ME);
});

test("a server that hangs is left, and one that answers pings is not", OPTIONS, async (t) => {
  const { server, chat, socket } = await connected(t, { timing: { silence: 20, pong: 60 } });
  await eventually(() => socket.pings >= 3, "pings");
  assert.equal(chat.state, "live");
  socket.answersPings = false;
  const second = await server.connection();
  second.answersPings = true;
  second.greet();
  await stateIs(chat, "live");
});

test("back from the background it asks at once", OPTIONS, async (t) => {
  const { server, chat, socket } = await connected(t, { timing: { silence: 60_000, pong: 30 } });
  socket.answersPings = false;
  chat.wake();
  await server.connection();
});

test("a new network ends the wait", OPTIONS, async (t) => {
  const { server, chat, socket } = await connected(t, { random: () => 1, timing: { backoffBase: 60_000, backoffMax: 60_000 } });
  const away = stateIs(chat, "away");
  socket.cut();
  await away;
  chat.wake();
  await server.connection();
});

test("reconnect: the new one serves before the old one is closed", OPTIONS, async (t) => {
  const { server, chat, socket } = await connected(t);
  const states = [];
  chat.on("state", ({ state }) => states.push(state));
  socket.send({ action: "reconnect", after_ms: 5 });
  const next = await server.connection();
  // The old one still serves.
  const { sent } = await chat.send(PEER, "on the old one");
  const frame = await socket.next("chat_message");
  socket.send({ action: "ack", ref: frame.ref, client_ref: frame.client_ref, message_id: 5, thread: 1, created: "", repeated: false });
  await sent;
  next.greet();
  await socket.ended;
  assert.equal(socket.closedWith, 1000);
  await chat.send(PEER, "on the new one");
  assert.equal((await next.next("chat_message")).message_body, "on the new one");
  assert.deepEqual(states, [], "it was live all the time");
});

test("reconnect: if the old one ends first, the new one goes on", OPTIONS, async (t) => {
  const { server, chat, socket } = await connected(t);
  socket.send({ action: "reconnect", after_ms: 30 });
  socket.close(1001);
  const next = await server.connection();
  next.greet();
  await eventually(() => chat.state === "live");
  assert.equal(server.opened.length, 2);
});

test("a token that ends soon is replaced on the socket", OPTIONS, async (t) => {
  const tokens = ["one", "two"];
  const { chat, socket } = await connected(t, { token: () => tokens.shift() });
  socket.send({ action: "token_expiring", in_s: 60 });
  const frame = await socket.next("token_refresh");
  assert.equal(frame.token, "two");
  socket.send({ action: "ack", ref: frame.ref, expires: "2026-11-30T09:00:00.000000Z" });
  assert.equal(chat.state, "live");
});

test("tickets: no token stands in a URL, and an older server is given it", OPTIONS, async (t) => {
  const server = await scripted(t);
  let count = 0;
  server.answer = ({ path, method, token }) => {
    if (path !== "/v2/ticket") return;
    assert.equal(method, "POST");
    assert.equal(token, "token");
    return { body: { ticket: `t${++count}`, expires_in_s: 30 } };
  };
  const chat = client(t, server, { tickets: true });
  chat.connect();
  const first = await server.connection();
  assert.deepEqual([first.query.ticket, first.query.token], ["t1", undefined]);
  first.close(4401);
  const second = await server.connection();
  assert.deepEqual([second.query.ticket, second.query.token], ["t2", undefined]);
  for (const answer of [problem(404, "not_found"), problem(405, "method_not_allowed"), "cut"]) {
    const old = await scripted(t);
    old.answer = ({ path }) => (path === "/v2/ticket" ? answer : undefined);
    const other = client(t, old, { tickets: true });
    other.connect();
    assert.equal((await old.connection()).query.token, "token");
  }
  // One that gave tickets is given no token.
  server.answer = ({ path }) => (path === "/v2/ticket" ? "cut" : undefined);
  second.close(1011);
  const asked = () => server.requests.filter((request) => request.includes("ticket")).length;
  await eventually(() => asked() >= 4, "that it asks again");
  assert.equal(server.opened.length, 2);
});

test("natives ask by the query", OPTIONS, async (t) => {
  const server = await scripted(t);
  const chat = client(t, server, { subprotocol: false });
  chat.connect();
  const { query, request } = await server.connection();
  assert.equal(query.protocol, "2");
  assert.equal(request.headers["sec-websocket-protocol"], undefined);
});

test("hello for another user than the store's stops it", OPTIONS, async (t) => {
  const { server, chat, socket } = await connected(t);
  const stopped = stateIs(chat, "stopped");
  socket.cut();
  (await server.connection()).greet({ user_id: PEER });
  assert.equal((await stopped).reason, "wrong_user");
});
