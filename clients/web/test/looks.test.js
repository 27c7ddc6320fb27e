/** What can be seen and heard, in each language, size and scheme. Told by role and text: pictures differ with the fonts. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { found } from "../../typescript/test/tools/packages.js";
import { PROGRAM } from "../../typescript/test/tools/program.js";
import { LANGUAGES } from "../src/strings.js";
import { Demo } from "./tools/demo.js";
import { CHROMIUM, DESKTOP, PHONE, both, browser, eventually, message, write } from "./tools/windows.js";

const OPTIONS = { skip: PROGRAM && CHROMIUM ? false : "needs a program and Chromium", timeout: 300_000 };
const LOCALES = { en: "en-GB", de: "de-DE", ar: "ar-EG" };
/** As narrow as pages have to be (WCAG 2.2, 1.4.10). */
const NARROW = { ...PHONE, viewport: { width: 320, height: 560 } };

const PIXEL = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");

/** Nothing may be left to complain about. */
async function check(page, axe, where) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  const told = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html}: ${failureSummary}`).join("; ")}`);
  assert.deepEqual(told, [], where);
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `${where}: wider than the window by ${overflow}`);
}

/** All that is to be read of a page. */
const textOf = (page) => page.evaluate(() => document.body.innerText);

for (const [language, locale] of Object.entries(LOCALES)) {
  test(`it can be seen and heard in ${language}`, OPTIONS, async (t) => {
    const axe = await readFile(found("axe-core/axe.min.js"), "utf8");
    const strings = LANGUAGES[language];
    const demo = await Demo.open(t);
    const chromium = await browser(t);
    const filled = (text, name) => text.replace("{name}", name);
    {
      // All kinds of messages.
      const [alice, bob] = await both(t, chromium, demo.address);
      for (const text of ["hello", "مرحبا يا بوب", "a word-that-is-so-long-that-no-window-is-as-wide-".repeat(4), "gone"]) await write(alice, text);
      await message(bob, "gone").waitFor();
      await write(bob, "hi");
      await alice.locator("input[type=file]").setInputFiles([
        { name: "pixel.png", mimeType: "image/png", buffer: PIXEL },
        { name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("notes") },
      ]);
      await message(bob, "notes.txt").waitFor();
      await message(alice, "gone").hover();
      await message(alice, "gone").getByRole("button").last().click();
      await alice.getByRole("menuitem", { name: "Delete for everyone" }).click();
      await message(bob, "This message was deleted").waitFor();
      for (const page of [alice, bob]) await page.context().close();
    }
    for (const [size, options] of Object.entries({ desktop: DESKTOP, phone: PHONE, narrow: NARROW })) {
      for (const colorScheme of ["light", "dark"]) {
        const where = `${language}, ${size}, ${colorScheme}`;
        const context = await chromium.newContext({ locale, timezoneId: "UTC", colorScheme, reducedMotion: "reduce", ...options });
        const page = await context.newPage();
        await page.goto(demo.address);
        await page.getByRole("heading", { name: filled(strings.you, "Alice") }).waitFor();
        assert.deepEqual(await page.evaluate(() => [document.documentElement.lang, document.dir]), [language, language === "ar" ? "rtl" : "ltr"]);
        const entry = page.getByRole("navigation", { name: strings.conversations }).getByRole("button", { name: "Bob" });
        await entry.waitFor();
        if (size !== "desktop") {
          await check(page, axe, `${where}, the list`);
          await entry.click();
        }
        const feed = page.getByRole("feed", { name: filled(strings.messages, "Bob") });
        await feed.getByRole("article").filter({ hasText: strings.deleted }).waitFor();
        await page.getByRole("textbox", { name: filled(strings.compose, "Bob") }).waitFor();
        await page.getByRole("button", { name: strings.send, exact: true }).waitFor();
        await page.getByRole("img", { name: filled(strings.picture, "pixel.png") }).waitFor();
        await check(page, axe, `${where}, a conversation`);
        // The start of a line is where the language begins.
        const side = await feed.getByRole("article").filter({ hasText: "hi" }).last().locator(".bubble").evaluate((bubble) => {
          const [inner, outer] = [bubble.getBoundingClientRect(), bubble.closest(".feed").getBoundingClientRect()];
          return inner.left - outer.left < outer.right - inner.right ? "left" : "right";
        });
        assert.equal(side, language === "ar" ? "right" : "left", where);
        const [ink, paper] = await page.evaluate(() => [getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]);
        const lightness = (colour) => colour.match(/\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0);
        assert.equal(lightness(ink) > lightness(paper), colorScheme === "dark", where);
        // A menu, and a message that is edited.
        const own = feed.getByRole("article").filter({ hasText: "hello" });
        await own.getByRole("button").last().focus();
        await page.keyboard.press("Enter");
        await page.getByRole("menuitem", { name: strings.edit }).waitFor();
        await check(page, axe, `${where}, a menu`);
        await page.keyboard.press("Enter");
        await page.getByText(strings.editing).waitFor();
        await check(page, axe, `${where}, an edit`);
        await page.keyboard.press("Escape");
        // No other language is left over.
        const text = await textOf(page);
        for (const [other, { edited, deleted, beginning }] of Object.entries(LANGUAGES)) {
          if (other !== language) for (const foreign of [deleted, beginning]) assert.ok(!text.includes(foreign), `${where}: ${foreign} ${edited}`);
        }
        if (size !== "desktop") await page.getByRole("button", { name: strings.back }).click();
        await page.getByRole("searchbox", { name: strings.search }).fill("hello");
        await page.getByRole("region", { name: strings.results }).getByRole("button").first().waitFor();
        await check(page, axe, `${where}, a search`);
        await context.close();
      }
    }
  });
}

test("the language can be changed, and stays", OPTIONS, async (t) => {
  const demo = await Demo.open(t);
  const [alice] = await both(t, await browser(t), demo.address);
  await write(alice, "hello");
  await alice.getByRole("combobox", { name: "Language" }).selectOption("العربية");
  await alice.getByRole("heading", { name: "أنت Alice" }).waitFor();
  await message(alice, "hello").getByText("أُرسلت").or(message(alice, "hello").getByText("قُرئت")).waitFor();
  await alice.reload();
  await alice.getByRole("heading", { name: "أنت Alice" }).waitFor();
});

test("all of it can be done by keyboard", OPTIONS, async (t) => {
  const demo = await Demo.open(t);
  const [alice, bob] = await both(t, await browser(t), demo.address);
  const focused = () => alice.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.textContent ?? "");
  /** Until the focus is on what is called so; each on its way can be seen to have it. */
  const tabTo = async (name, key = "Tab") => {
    for (let step = 0; step < 40; step++) {
      await alice.keyboard.press(key);
      const outline = await alice.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
      const isShown = outline !== "none" || (await alice.evaluate(() => document.activeElement === document.body));
      assert.ok(isShown, `${await focused()} does not show the focus`);
      if ((await focused()).includes(name)) return;
    }
    assert.fail(`${name} is not reached`);
  };
  await tabTo("Message to Bob");
  await alice.keyboard.type("first");
  await alice.keyboard.press("Shift+Enter");
  await alice.keyboard.type("line two");
  await alice.keyboard.press("Enter");
  await alice.keyboard.type("second");
  await alice.keyboard.press("Enter");
  await message(bob, "second").waitFor();
  assert.equal(await message(bob, "first").locator(".text").evaluate((text) => text.textContent), "first\nline two");
  await tabTo("Actions for the message second", "Shift+Tab");
  // From a message to the one before it and back.
  await alice.keyboard.press("ArrowUp");
  assert.match(await focused(), /^Alice: first/);
  await alice.keyboard.press("PageDown");
  assert.match(await focused(), /^Alice: second/);
  await alice.keyboard.press("Tab");
  await alice.keyboard.press("Enter");
  assert.equal(await focused(), "Edit");
  await alice.keyboard.press("ArrowUp");
  assert.equal(await focused(), "Delete for everyone");
  await alice.keyboard.press("Home");
  await alice.keyboard.press("Escape");
  assert.equal(await focused(), "Actions for the message second", "the focus comes back");
  await alice.keyboard.press("Enter");
  await alice.keyboard.press("ArrowDown");
  await alice.keyboard.press("ArrowDown");
  await alice.keyboard.press("Enter");
  await message(bob, "This message was deleted").waitFor();
  // What comes is read out, and the focus stays where it is.
  const before = await focused();
  await write(bob, "listen");
  await eventually(async () => (await alice.getByRole("log").textContent()).includes("Bob: listen"), "the announcement");
  assert.equal(await focused(), before);
});
