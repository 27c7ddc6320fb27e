/** Who is let in, and what the others are told. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { PROGRAM } from "../../typescript/test/tools/program.js";
import { Demo } from "./tools/demo.js";
import { CHROMIUM, browser, window } from "./tools/windows.js";

const OPTIONS = { skip: PROGRAM && CHROMIUM ? false : "needs a program and Chromium", timeout: 60_000 };

test("without the key of this start the page has no token, in each language", OPTIONS, async (t) => {
  const demo = await Demo.open(t);
  const chromium = await browser(t);
  const page = demo.address.replace(/#.*/, "");
  for (const [locale, missing, wrong, nobody] of [
    ["en-US", "Open the address that the server printed", "The key of this address is no longer good", "There is no such user"],
    ["de-DE", "Öffne die Adresse, die der Server beim Start ausgegeben hat", "Der Schlüssel dieser Adresse gilt nicht mehr", "Diesen Benutzer gibt es nicht"],
    ["ar-EG", "افتح العنوان الذي طبعه الخادم", "لم يعد مفتاح هذا العنوان صالحًا", "لا يوجد مستخدم كهذا"],
    ["fr-FR", "Open the address that the server printed", "The key of this address is no longer good", "There is no such user"],
  ]) {
    for (const [fragment, text] of [
      ["", missing],
      ["#user=bob", missing],
      ["#key=0123456789abcdef0123456789abcdef", wrong],
      [`#key=${demo.key}&user=carol`, nobody],
    ]) {
      const opened = await window(t, chromium, page + fragment, { locale });
      await opened.getByText(text).waitFor();
      assert.equal(await opened.getByRole("textbox").count(), 0);
      await opened.context().close();
    }
  }
});

test("the key is sent in no address", OPTIONS, async (t) => {
  const demo = await Demo.open(t);
  const context = await (await browser(t)).newContext();
  const page = await context.newPage();
  const addresses = [];
  page.on("request", (request) => addresses.push(request.url(), request.headers().referer ?? ""));
  await page.goto(demo.address);
  await page.getByRole("textbox", { name: "Message to" }).waitFor();
  const sent = addresses.map((address) => address.replace(/#.*/, ""));
  assert.ok(sent.length > 20);
  assert.deepEqual(sent.filter((address) => address.includes(demo.key)), []);
});
