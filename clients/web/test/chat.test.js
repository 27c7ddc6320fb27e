/** Two windows write to each other. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { PROGRAM } from "../../typescript/test/tools/program.js";
import { Demo } from "./tools/demo.js";
import { CHROMIUM, PHONE, both, browser, choose, eventually, message, texts, watch, window, write } from "./tools/windows.js";

const OPTIONS = { skip: PROGRAM && CHROMIUM ? false : "needs a program and Chromium", timeout: 180_000 };

/** A PNG of one pixel. */
const PIXEL = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");

test("from the printed address to two windows is a click", OPTIONS, async (t) => {
  const { address } = await Demo.open(t);
  const alice = await window(t, await browser(t), address);
  const opened = alice.context().waitForEvent("page");
  await alice.getByRole("link", { name: "Open Bob’s window" }).click();
  const bob = await opened;
  watch(t, bob);
  await bob.getByRole("heading", { name: "You are Bob" }).waitFor();
  await write(alice, "hello bob");
  await message(bob, "hello bob").waitFor();
  await write(bob, "hello alice");
  await message(alice, "hello alice").waitFor();
  assert.deepEqual(await texts(alice), ["hello bob", "hello alice"]);
  // Both again after a reload, from what is kept and from the server.
  for (const page of [alice, bob]) {
    await page.reload();
    await message(page, "hello alice").waitFor();
    assert.deepEqual(await texts(page), ["hello bob", "hello alice"]);
  }
});

test("ticks tell how far a message has come, and numbers what is unread", OPTIONS, async (t) => {
  const { address } = await Demo.open(t);
  const chromium = await browser(t);
  const alice = await window(t, chromium, address);
  await write(alice, "are you there?");
  await message(alice, "are you there?").getByText("Sent", { exact: true }).waitFor();
  // On a phone the list is there first: delivered, and not read.
  const bob = await window(t, chromium, `${address}&user=bob`, PHONE);
  await message(alice, "are you there?").getByText("Delivered", { exact: true }).waitFor();
  const entry = bob.getByRole("button", { name: "Alice" });
  await entry.filter({ hasText: "1 unread message" }).waitFor();
  await eventually(async () => (await bob.title()) === "(1) Chat", "the number in the title");
  await entry.click();
  await message(alice, "are you there?").getByText("Seen", { exact: true }).waitFor();
  await eventually(async () => (await bob.title()) === "Chat", "none in the title");
  await bob.getByRole("button", { name: "Back to the conversations" }).click();
  await entry.waitFor();
  assert.equal(await bob.getByText("unread").count(), 0);
  assert.equal(await bob.getByRole("feed").count(), 0, "a phone shows one of the two");
});

test("who is there, and who types", OPTIONS, async (t) => {
  const { address } = await Demo.open(t);
  const chromium = await browser(t);
  const [alice, bob] = await both(t, chromium, address);
  const shown = (page, text) => page.getByRole("status").filter({ hasText: text });
  // Who has written to nobody is online to nobody.
  await write(alice, "hello");
  await message(bob, "hello").waitFor();
  assert.equal(await shown(alice, "online").count(), 0);
  await shown(bob, "online").waitFor();
  await write(bob, "hello");
  await shown(alice, "online").waitFor();
  await bob.getByRole("textbox", { name: "Message to Alice" }).pressSequentially("wait");
  await shown(alice, "Bob is typing …").waitFor();
  await bob.getByRole("textbox", { name: "Message to Alice" }).fill("");
  await shown(alice, /^online$/).waitFor();
  await bob.context().close();
  await shown(alice, /offline|last seen/).waitFor();
});

test("a message is edited, deleted for all, and deleted for oneself", OPTIONS, async (t) => {
  const { address } = await Demo.open(t);
  const [alice, bob] = await both(t, await browser(t), address);
  for (const text of ["first", "secnod", "third"]) await write(alice, text);
  await message(bob, "third").waitFor();

  await choose(alice, "secnod", "Edit");
  await alice.getByText("Editing a message").waitFor();
  const box = alice.getByRole("textbox", { name: "Message to Bob" });
  assert.equal(await box.inputValue(), "secnod");
  await box.fill("second");
  await alice.getByRole("button", { name: "Save" }).click();
  for (const page of [alice, bob]) await message(page, "second").getByText("edited").waitFor();

  // Left by Escape, it is as it was, and so is what was being written.
  await box.fill("a draft");
  await choose(alice, "first", "Edit");
  await box.press("Escape");
  assert.equal(await box.inputValue(), "a draft");
  await box.fill("");

  await choose(alice, "third", "Delete for everyone");
  for (const page of [alice, bob]) await message(page, "This message was deleted").waitFor();
  assert.equal(await message(bob, "third").count(), 0);

  await choose(bob, "first", "Delete for me");
  await eventually(async () => (await message(bob, "first").count()) === 0, "it to be gone");
  assert.equal(await message(alice, "first").count(), 1);
  await message(bob, "second").hover();
  await message(bob, "second").getByRole("button", { name: "Actions for" }).click();
  assert.deepEqual(await bob.getByRole("menuitem").allTextContents(), ["Delete for me"], "it is another's");
});

test("pictures and files", OPTIONS, async (t) => {
  const { address } = await Demo.open(t);
  const [alice, bob] = await both(t, await browser(t), address);
  const files = alice.locator("input[type=file]");
  await files.setInputFiles([
    { name: "pixel.png", mimeType: "image/png", buffer: PIXEL },
    { name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("a small file") },
  ]);
  for (const page of [alice, bob]) {
    const picture = page.getByRole("img", { name: "Picture pixel.png" });
    await picture.waitFor();
    await eventually(() => picture.evaluate((img) => img.complete && img.naturalWidth === 1), "the picture");
    await page.getByRole("button", { name: "Open the file notes.txt" }).waitFor();
  }
  await message(alice, "notes.txt").getByText("Seen").waitFor();
  const downloading = bob.waitForEvent("download");
  await bob.getByRole("button", { name: "Open the file notes.txt" }).click();
  const download = await downloading;
  assert.equal(download.suggestedFilename(), "notes.txt");
});

test("search finds a message that is far back, and goes there", OPTIONS, async (t) => {
  const demo = await Demo.open(t);
  await demo.kill();
  await demo.fill(3_000, (id) => (id === 7 ? "a needle in the hay" : `hay ${id}`));
  await demo.run();
  const [alice] = await both(t, await browser(t), demo.address);
  await message(alice, "hay 3000").waitFor();
  await alice.getByRole("searchbox", { name: "Search messages" }).fill("needle");
  await alice.getByRole("region", { name: "Search results" }).getByRole("button").click();
  const found = message(alice, "a needle in the hay");
  await found.waitFor();
  await eventually(() => found.evaluate((article) => article === document.activeElement), "the focus on it");
  // What is written goes to the end, and the page with it.
  await write(alice, "found it");
  await message(alice, "found it").waitFor();
  assert.equal(await found.count(), 0);
  await alice.getByRole("searchbox", { name: "Search messages" }).fill("nothing of that kind");
  await alice.getByText("Nothing found").waitFor();
  await alice.getByRole("searchbox", { name: "Search messages" }).fill("");
  await alice.getByRole("navigation", { name: "Conversations" }).waitFor();
});
