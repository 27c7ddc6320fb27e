/** In Chromium: tabs that share a store, a reload, and files with progress. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { CHROMIUM, browser } from "./tools/browser.js";
import { eventually } from "./tools/client.js";
import { PROGRAM, Program, token } from "./tools/program.js";

const missing = !PROGRAM ? "NETROX_CHAT_TEST_PROGRAM" : !CHROMIUM ? "NETROX_CHAT_TEST_CHROMIUM" : null;
const OPTIONS = { skip: missing ? `${missing} names no program` : false, timeout: 120_000 };

/** In the page: a client that is left in `window`. */
async function begin(url, token, name) {
  const { ChatClient } = await import("/src/index.js");
  const { IndexedDbStore } = await import("/src/store/indexeddb.js");
  const chat = new ChatClient({ url, token: () => token, store: new IndexedDbStore(name), timing: { backoffMax: 500 } });
  Object.assign(window, { chat, errors: [], moved: [] });
  chat.on("error", ({ error }) => window.errors.push(String(error)));
  chat.on("upload", ({ sent }) => window.moved.push(sent));
  chat.connect();
  await chat.load();
}

const stateOf = () => window.chat.state;
const send = async (peer, text) => (await window.chat.send(peer, text)).clientRef;
const shown = (peer) => window.chat.messages(peer).map(({ message, status }) => `${message} ${status}`);

test("tabs of one user", OPTIONS, async (t) => {
  const program = await Program.start(t, "--cors-allow-origin", "*");
  const [alice, bob] = [randomUUID(), randomUUID()];
  await program.get("/v2/me", bob);
  const open = await browser(t);
  const own = token(alice);
  const tab = async () => {
    const opened = await open();
    await opened.run(begin, program.url, own, alice);
    await eventually(async () => (await opened.run(stateOf)) === "live", "live");
    return opened;
  };
  const first = await tab();
  const second = await tab();
  const texts = [];
  const write = async (from, text) => {
    texts.push(text);
    await from.run(send, bob, text);
  };
  const all = (from) => eventually(async () => (await from.run(shown, bob)).join() === texts.map((text) => `${text} sent`).join(), "all");
  for (const i of [1, 2, 3]) {
    await write(first, `first ${i}`);
    await write(second, `second ${i}`);
  }
  await all(first);
  await all(second);
  // The one that has the outbox is closed: the other goes on.
  await write(second, "and then it is closed");
  await first.close();
  await write(second, "alone");
  await all(second);
  // Without a server, and over a reload.
  await program.kill();
  await write(second, "away");
  await write(second, "still away");
  await second.reload();
  await second.run(begin, program.url, own, alice);
  assert.deepEqual((await second.run(shown, bob)).slice(-2), ["away pending", "still away pending"]);
  await program.run();
  await all(second);
  assert.deepEqual((await program.history(alice, bob)).map(({ message }) => message), texts);
  // A file.
  const attachment = await second.run(async (peer) => {
    const { sent } = await window.chat.upload(peer, new File([new Uint8Array(300_000)], "zeros.bin"), { message: "a file" });
    await sent;
    return window.chat.messages(peer).at(-1).attachment;
  }, bob);
  assert.deepEqual([attachment.name, attachment.size], ["zeros.bin", 300_000]);
  // The message may come before the request is told of its own progress.
  await eventually(() => second.run(() => window.moved.at(-1) === 300_000), "progress");
  assert.deepEqual(await second.run(() => window.errors), []);
});
