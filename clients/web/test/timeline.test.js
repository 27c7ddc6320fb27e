/** Which messages are in memory, without a browser and a server. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Timeline } from "../src/timeline.js";

const message = (id, more = {}) => ({ id, client_ref: null, rev: id, hidden: false, message: `text ${id}`, ...more });
const ids = (timeline) => timeline.items().map(({ id }) => id);
const span = (from, to) => Array.from({ length: to - from + 1 }, (_, at) => from + at);

/** A server with messages 1 to `last`, and a client that holds those from `held` on. */
function world(last, held) {
  const stored = new Map(span(1, last).map((id) => [id, message(id)]));
  const waiting = [];
  const world = {
    stored,
    held,
    faults: [],
    /** Answers what is asked, with what was there when it was asked. */
    async answer() {
      for (const go of waiting.splice(0)) go();
      await new Promise((resolve) => setImmediate(resolve));
    },
    chat: {
      thread: () => ({}),
      messages: () => [...stored.values()].filter(({ id }) => id >= world.held).map((message) => ({ ...message, status: "sent" })),
      rest: {
        get: (_path, { before = Infinity, after = 0, order = "newest", limit }) => {
          const found = [...stored.values()].filter(({ id }) => id < before && id > after);
          const messages = order === "oldest" ? found.slice(0, limit) : found.reverse().slice(0, limit);
          const page = { messages, next: found.length > limit ? "more" : null };
          return new Promise((resolve) => waiting.push(() => resolve(page)));
        },
      },
    },
  };
  world.timeline = new Timeline(world.chat, "peer", () => {}, (error) => world.faults.push(error));
  return world;
}

test("the end is the last 600 of what is held", () => {
  const { timeline } = world(2_000, 1);
  assert.deepEqual(ids(timeline), span(1_401, 2_000));
  assert.equal(timeline.isAtEnd, true);
});

test("who reads far before the end of what is held goes on there, page by page", async () => {
  const { timeline, answer } = world(2_000, 1);
  const going = timeline.around(500);
  await answer();
  assert.equal(await going, true);
  assert.equal(timeline.isAtEnd, false);
  assert.deepEqual(ids(timeline), span(401, 600));
  for (let last = 600; last < 2_000; last += 100) {
    assert.equal(ids(timeline).at(-1), last);
    timeline.newer();
    await answer();
    // What was read last is there still.
    assert.ok(ids(timeline).includes(last));
    assert.ok(ids(timeline).length <= 600);
    if (timeline.isAtEnd) break;
  }
  assert.equal(timeline.isAtEnd, true);
  assert.deepEqual(ids(timeline), span(1_401, 2_000));
});

test("after a reset nothing of another history stays", async () => {
  const { timeline, stored, chat, answer } = world(300, 250);
  timeline.older();
  await answer();
  assert.deepEqual(ids(timeline), span(150, 300));
  stored.clear();
  stored.set(7, message(7, { message: "of another history" }));
  chat.messages = () => [{ ...message(7), status: "sent" }];
  timeline.toEnd();
  await answer();
  assert.deepEqual(ids(timeline), [7]);
});

test("a page that is older than what was told since overwrites nothing", async () => {
  const { timeline, stored, answer } = world(300, 250);
  assert.equal(timeline.loading, "older", "a page is asked for at once");
  timeline.took(message(200, { rev: 301, message: "edited" }));
  timeline.took(message(201, { rev: 302, hidden: true }));
  await answer();
  assert.equal(timeline.find(200).message, "edited");
  assert.equal(timeline.find(201), null);
  timeline.took(message(200, { rev: 299, message: "came late" }));
  assert.equal(timeline.find(200).message, "edited");
  assert.equal(stored.size, 300);
});

test("what comes while a page is read makes no hole, and nothing twice", async () => {
  const here = world(3, 4);
  const { timeline, answer } = here;
  assert.deepEqual(ids(timeline), []);
  // The client is told of the newest before the answer, which has it as well.
  here.held = 3;
  timeline.took(message(3));
  await answer();
  assert.deepEqual(ids(timeline), [3]);
  timeline.older();
  await answer();
  assert.deepEqual(ids(timeline), [1, 2, 3]);
  assert.equal(timeline.isAtStart, true);
  assert.deepEqual(here.faults, []);
});
