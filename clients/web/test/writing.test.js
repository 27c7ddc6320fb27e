/** What somebody wrote is not lost, and what was sent is seen. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { PROGRAM } from "../../typescript/test/tools/program.js";
import { Demo, Network } from "./tools/demo.js";
import { CHROMIUM, both, browser, choose, eventually, message, window, write } from "./tools/windows.js";

const OPTIONS = { skip: PROGRAM && CHROMIUM ? false : "needs a program and Chromium", timeout: 180_000 };

const PIXEL = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");
/** More than the server takes. */
const LONG = "long ".repeat(5_000).trim();

const box = (page) => page.getByRole("textbox", { name: "Message to" });
const failure = (page, text) => page.getByRole("alert").filter({ hasText: text });

test("a text that is too long stays, to be made shorter", OPTIONS, async (t) => {
  const demo = await Demo.open(t);
  const [alice] = await both(t, await browser(t), demo.address);
  await write(alice, "before");
  await message(alice, "before").getByText("Sent", { exact: true }).or(message(alice, "before").getByText("Seen")).first().waitFor();
  await write(alice, LONG);
  await failure(alice, "That is too large").waitFor();
  await eventually(async () => (await box(alice).inputValue()) === LONG, "the text");
});

test("an edit that is refused stays open, and what was written before it stays, too", OPTIONS, async (t) => {
  const demo = await Demo.open(t);
  const [alice, bob] = await both(t, await browser(t), demo.address);
  await write(alice, "teh first");
  await message(bob, "teh first").waitFor();
  await box(alice).fill("a draft");
  await choose(alice, "teh first", "Edit");
  await write(alice, LONG);
  await failure(alice, "That is too large").waitFor();
  assert.equal(await box(alice).inputValue(), LONG);
  await alice.getByText("Editing a message").waitFor();
  await write(alice, "the first");
  await message(bob, "the first").waitFor();
  await eventually(async () => (await box(alice).inputValue()) === "a draft", "the draft");
  assert.equal(await alice.getByText("Editing a message").isVisible(), false);
});

test("a file that is sent from far back in the history is shown, also where the page is no secure context", OPTIONS, async (t) => {
  const demo = await Demo.open(t);
  await demo.kill();
  await demo.fill(1_000, (id) => (id === 7 ? "a needle in the hay" : `hay ${id}`));
  await demo.run();
  const alice = await window(t, await browser(t), "about:blank");
  await alice.addInitScript(() => Object.defineProperty(crypto, "randomUUID", { value: undefined }));
  await alice.goto(demo.address);
  await message(alice, "hay 1000").waitFor();
  await alice.getByRole("searchbox", { name: "Search messages" }).fill("needle");
  await alice.getByRole("region", { name: "Search results" }).getByRole("button").click();
  await message(alice, "a needle in the hay").waitFor();
  await alice.locator("input[type=file]").setInputFiles({ name: "pixel.png", mimeType: "image/png", buffer: PIXEL });
  await alice.getByRole("img", { name: "Picture pixel.png" }).waitFor();
});

test("a picture whose link could not be had is shown when the network is back", OPTIONS, async (t) => {
  const demo = await Demo.open(t);
  const network = await Network.start(t, demo.port);
  const chromium = await browser(t);
  const alice = await window(t, chromium, demo.address);
  const bob = await window(t, chromium, demo.address.replace(/:\d+\//, `:${network.port}/`) + "&user=bob");
  await box(bob).waitFor();
  let refused = 0;
  await bob.route("**/v2/ticket", (route) => (refused++, route.abort()));
  await alice.locator("input[type=file]").setInputFiles({ name: "pixel.png", mimeType: "image/png", buffer: PIXEL });
  const picture = bob.getByRole("img", { name: "Picture pixel.png" });
  await picture.waitFor();
  await eventually(() => refused > 0, "a link that is refused");
  const isShown = () => picture.evaluate((img) => img.complete && img.naturalWidth === 1);
  assert.equal(await isShown(), false);
  await bob.unroute("**/v2/ticket");
  network.cut();
  await bob.getByRole("status").filter({ hasText: "You are offline" }).waitFor();
  network.mend();
  await eventually(isShown, "the picture");
});
