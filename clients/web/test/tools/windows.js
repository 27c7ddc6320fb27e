/** Windows of Chromium at the page. Whatever the page says on its console but the network fails the test. */

import assert from "node:assert/strict";
import { load } from "../../../typescript/test/tools/packages.js";

export const CHROMIUM = process.env.NETROX_CHAT_TEST_CHROMIUM;

export const ARGUMENTS = [
  // It may be root, in a container.
  "--no-sandbox",
  "--disable-dev-shm-usage",
  // It talks to nobody but the servers of the test.
  "--disable-background-networking",
  "--disable-component-update",
  "--no-proxy-server",
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.*",
];

export const DESKTOP = { viewport: { width: 1100, height: 750 } };
export const PHONE = { viewport: { width: 360, height: 640 }, hasTouch: true, isMobile: true };

/** Milliseconds, of a machine that does other things as well. */
const PATIENCE = 20_000;

/** What a browser says of a network that is cut, or of an answer that is a refusal. */
const OF_THE_NETWORK = /Failed to load resource|WebSocket connection to|net::ERR/;

export async function browser(t) {
  const { default: playwright } = await load("playwright-core");
  const launched = await playwright.chromium.launch({ executablePath: CHROMIUM, args: ARGUMENTS });
  t.after(() => launched.close());
  return launched;
}

/** Gives the page at an address, in a profile of its own. */
export async function window(t, browser, address, options = {}) {
  const context = await browser.newContext({ locale: "en-US", timezoneId: "UTC", ...DESKTOP, ...options });
  context.setDefaultTimeout(PATIENCE);
  t.after(() => context.close());
  const page = await context.newPage();
  watch(t, page);
  await page.goto(address);
  return page;
}

/** @param page whose faults are the test's */
export function watch(t, page) {
  const faults = [];
  page.on("pageerror", (error) => faults.push(error.stack));
  page.on("console", (line) => {
    const isFault = ["error", "warning"].includes(line.type());
    if (isFault && !OF_THE_NETWORK.test(line.text())) faults.push(line.text());
  });
  t.after(() => assert.deepEqual(faults, []));
}

/** The windows of both, with a conversation open. */
export async function both(t, browser, address, options = {}) {
  const alice = await window(t, browser, address, options);
  const bob = await window(t, browser, `${address}&user=bob`, options);
  for (const page of [alice, bob]) await page.getByRole("textbox", { name: "Message to" }).waitFor();
  return [alice, bob];
}

/** Writes as a user does. */
export async function write(page, text) {
  const box = page.getByRole("textbox", { name: "Message to" });
  await box.fill(text);
  await box.press("Enter");
}

/** The message with a text. */
export const message = (page, text) => page.getByRole("article").filter({ hasText: text });

/** Opens the menu of a message, and chooses. */
export async function choose(page, text, action) {
  const article = message(page, text);
  await article.hover();
  await article.getByRole("button", { name: "Actions for" }).click();
  await page.getByRole("menuitem", { name: action, exact: true }).click();
}

/** What of the conversation is in the document, as texts. */
export const texts = (page) => page.getByRole("article").locator(".text").allTextContents();

/** Asks again until it holds. */
export async function eventually(holds, what) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const value = await holds();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
