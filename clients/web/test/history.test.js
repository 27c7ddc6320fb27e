/** A history that scrolls for ever: the page stays quick and small, however much there is. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { PROGRAM } from "../../typescript/test/tools/program.js";
import { Demo } from "./tools/demo.js";
import { CHROMIUM, browser, eventually, message, watch, write } from "./tools/windows.js";

/** Messages; all of it is 100,000. */
const COUNT = Number(process.env.NETROX_CHAT_TEST_HISTORY ?? 4_000);
/** On a machine of its own: how long work takes is looked at then alone. */
const IS_MEASURED = process.env.NETROX_CHAT_TEST_HISTORY !== undefined;
const OPTIONS = { skip: PROGRAM && CHROMIUM ? false : "needs a program and Chromium", timeout: 900_000 };
/** Of a page with all that was collected: bytes. */
const HEAP = 100 * 2 ** 20;
/** Milliseconds of the processor. What others do on the machine does not count. */
const TASK = 50;

const textOf = (id) => `message ${id}${id % 5 ? "" : " which is longer ".repeat(id % 40)}`;

/** Numbers of the messages that can be seen. */
const seen = (page) =>
  page.getByRole("feed").evaluate((feed) => {
    const { top, bottom } = feed.getBoundingClientRect();
    const isSeen = (article) => article.getBoundingClientRect().bottom > top && article.getBoundingClientRect().top < bottom;
    const number = (article) => Number(article.querySelector(".text").textContent.split(" ")[1]);
    return [...feed.querySelectorAll("article")].filter(isSeen).map(number);
  });

/** Each once, one after the other. */
function assertWhole(numbers) {
  numbers.forEach((number, at) => assert.equal(number, numbers[0] + at, `${numbers}`));
}

/** Gives what ends it, and gives the milliseconds of each task of the page. */
async function tasks(session) {
  const took = [];
  const take = ({ value }) => {
    for (const { name, tdur = 0 } of value) if (name === "RunTask") took.push(tdur / 1000);
  };
  session.on("Tracing.dataCollected", take);
  await session.send("Tracing.start", { transferMode: "ReportEvents", traceConfig: { includedCategories: ["disabled-by-default-devtools.timeline"], excludedCategories: ["*"] } });
  return async () => {
    const complete = new Promise((resolve) => session.once("Tracing.tracingComplete", resolve));
    await session.send("Tracing.end");
    await complete;
    session.off("Tracing.dataCollected", take);
    return took.sort((one, other) => other - one);
  };
}

/** What is too long is found. */
async function assertMeasures(session, page) {
  const end = await tasks(session);
  // Work, not time: others may have the processor.
  await page.evaluate(() => {
    let sum = 0;
    for (let step = 0; step < 3e8; step++) sum += Math.sqrt(step);
    return sum;
  });
  const [longest] = await end();
  assert.ok(longest > TASK, `${longest}`);
}

test(`a history of ${COUNT} messages`, OPTIONS, async (t) => {
  const demo = await Demo.open(t);
  await demo.kill();
  await demo.fill(COUNT, textOf);
  await demo.run();
  const context = await (await browser(t)).newContext({ viewport: { width: 1100, height: 750 } });
  const page = await context.newPage();
  watch(t, page);
  await page.goto(demo.address);
  await message(page, `message ${COUNT}`).waitFor();
  const session = await context.newCDPSession(page);
  if (IS_MEASURED) await assertMeasures(session, page);
  const end = await tasks(session);

  // To the first, as fast as it comes.
  const first = await page.getByRole("feed").evaluate(async (feed) => {
    const room = feed.firstElementChild;
    for (let still = 0; still < 200; ) {
      const height = room.offsetHeight;
      feed.scrollTop = Math.max(0, feed.scrollTop - 3000);
      await new Promise((resolve) => requestAnimationFrame(resolve));
      still = feed.scrollTop < 1 && room.offsetHeight === height && feed.getAttribute("aria-busy") === "false" ? still + 1 : 0;
    }
    return feed.querySelector("article .text").textContent;
  });
  assert.equal(first, textOf(1));
  assertWhole(await seen(page));
  await page.getByText("The beginning of the conversation").waitFor();
  const shown = await page.getByRole("article").count();
  assert.ok(shown < 60, `${shown} articles are in the document`);

  const took = await end();
  t.diagnostic(`the longest of ${took.length} tasks: ${took.slice(0, 5).map((ms) => ms.toFixed(1))} ms`);
  assert.ok(took.length > 1_000, `${took.length}`);
  if (IS_MEASURED) assert.ok(took[0] <= TASK, `${took.slice(0, 20)}`);
  await session.send("HeapProfiler.collectGarbage");
  const { usedSize } = await session.send("Runtime.getHeapUsage");
  t.diagnostic(`heap: ${(usedSize / 2 ** 20).toFixed(1)} MiB`);
  assert.ok(usedSize < HEAP, `${usedSize} bytes`);

  // What comes meanwhile does not move what is read.
  const before = await seen(page);
  const other = await context.newPage();
  watch(t, other);
  await other.goto(`${demo.address}&user=bob`);
  await message(other, `message ${COUNT}`).waitFor();
  await write(other, "something new");
  await eventually(async () => (await page.getByRole("log").textContent()).includes("something new"), "the announcement");
  assert.deepEqual(await seen(page), before);

  // Forward again, without a hole.
  const forward = await page.getByRole("feed").evaluate(async (feed) => {
    const numbers = new Set();
    while (numbers.size < 1_500) {
      feed.scrollTop += 400;
      await new Promise((resolve) => requestAnimationFrame(resolve));
      for (const article of feed.querySelectorAll("article")) numbers.add(Number(article.querySelector(".text").textContent.split(" ")[1]));
    }
    return [...numbers].sort((one, other) => one - other);
  });
  assertWhole(forward);
  await page.getByRole("button", { name: "To the newest messages" }).click();
  await message(page, "something new").waitFor();
  await message(other, "something new").getByText("Seen").waitFor();
});

test("what is read stays where it is while older messages come, and others are edited", OPTIONS, async (t) => {
  const demo = await Demo.open(t);
  await demo.kill();
  await demo.fill(2_000, textOf);
  await demo.run();
  const context = await (await browser(t)).newContext({ viewport: { width: 400, height: 700 } });
  const page = await context.newPage();
  watch(t, page);
  await page.goto(demo.address);
  await page.getByRole("button", { name: "Bob" }).click();
  await message(page, "message 2000").waitFor();
  const feed = page.getByRole("feed");
  await eventually(() => feed.evaluate((feed) => feed.scrollHeight > 5_000), "a page of older messages");
  // Small steps up: from each to the next what can be seen moves by the step, and by nothing else.
  const jumps = await feed.evaluate(async (feed) => {
    const frame = () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    const place = (article) => article.getBoundingClientRect().top;
    const jumps = [];
    for (let step = 0; step < 300; step++) {
      const middle = feed.getBoundingClientRect().top + feed.clientHeight / 2;
      const article = [...feed.querySelectorAll("article")].find((article) => article.getBoundingClientRect().bottom > middle);
      const before = place(article);
      feed.scrollTop -= 60;
      await frame();
      const moved = place(article) - before;
      if (Math.abs(moved - 60) > 1.5) jumps.push([step, moved]);
    }
    return jumps;
  });
  assert.deepEqual(jumps, []);
});
