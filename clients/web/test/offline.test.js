/** The network is cut, and the server killed: nothing is lost, nothing comes twice, and who writes need not care. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { PROGRAM } from "../../typescript/test/tools/program.js";
import { Demo, Network } from "./tools/demo.js";
import { CHROMIUM, both, browser, eventually, message, texts, window, write } from "./tools/windows.js";

const OPTIONS = { skip: PROGRAM && CHROMIUM ? false : "needs a program and Chromium", timeout: 180_000 };

/** The address of the page by way of a network. */
const by = (network, { address }) => address.replace(/:\d+\//, `:${network.port}/`);

const connection = (page, text) => page.getByRole("status").filter({ hasText: text });

test("a network that is cut", OPTIONS, async (t) => {
  const demo = await Demo.open(t);
  const network = await Network.start(t, demo.port);
  const chromium = await browser(t);
  const alice = await window(t, chromium, by(network, demo));
  const bob = await window(t, chromium, `${demo.address}&user=bob`);
  await write(alice, "one");
  await message(bob, "one").waitFor();

  network.cut();
  await connection(alice, "You are offline").waitFor();
  await write(alice, "two");
  await write(alice, "three");
  await message(alice, "three").getByText("Waiting to be sent").waitFor();
  await alice.locator("input[type=file]").setInputFiles({ name: "later.txt", mimeType: "text/plain", buffer: Buffer.from("later") });
  await message(alice, "later.txt").getByText("Waiting to be sent").waitFor();
  await write(bob, "four");
  await message(bob, "four").getByText("Sent", { exact: true }).waitFor();
  assert.equal(await message(alice, "four").count(), 0);

  network.mend();
  await connection(alice, "Connected").waitFor();
  await message(alice, "four").waitFor();
  await message(bob, "later.txt").waitFor();
  for (const page of [alice, bob]) {
    await message(page, "three").waitFor();
    assert.deepEqual(await texts(page), ["one", "four", "two", "three"]);
    assert.equal(await connection(page, "offline").count(), 0);
  }
  await message(alice, "later.txt").getByText("Seen").waitFor();
});

test("a message that waits can be discarded", OPTIONS, async (t) => {
  const demo = await Demo.open(t);
  const network = await Network.start(t, demo.port);
  const alice = await window(t, await browser(t), by(network, demo));
  await write(alice, "one");
  await message(alice, "one").getByText("Sent", { exact: true }).waitFor();
  network.cut();
  await connection(alice, "You are offline").waitFor();
  await write(alice, "regretted");
  await message(alice, "regretted").hover();
  await message(alice, "regretted").getByRole("button", { name: "Actions for" }).click();
  await alice.getByRole("menuitem", { name: "Discard" }).click();
  await eventually(async () => (await message(alice, "regretted").count()) === 0, "it to be gone");
  network.mend();
  await connection(alice, "Connected").waitFor();
  await write(alice, "two");
  await message(alice, "two").getByText("Sent", { exact: true }).waitFor();
  assert.deepEqual(await texts(alice), ["one", "two"]);
});

test("a server that is killed", OPTIONS, async (t) => {
  const demo = await Demo.open(t);
  const [alice, bob] = await both(t, await browser(t), demo.address);
  await write(alice, "before");
  await message(bob, "before").waitFor();
  await demo.kill();
  for (const page of [alice, bob]) await connection(page, "You are offline").waitFor();
  await write(alice, "while it was dead");
  await message(alice, "while it was dead").getByText("Waiting to be sent").waitFor();
  await demo.run();
  await message(bob, "while it was dead").waitFor();
  await write(bob, "after");
  for (const page of [alice, bob]) {
    await message(page, "after").waitFor();
    assert.deepEqual(await texts(page), ["before", "while it was dead", "after"]);
  }
  // The key is that of another start: the page says so, and what to do.
  await alice.reload();
  await alice.getByText("The key of this address is no longer good").waitFor();
});
