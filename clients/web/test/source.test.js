/** The sources of the page, without a browser. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, readdir } from "node:fs/promises";
import { dirname, join, normalize } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { found } from "../../typescript/test/tools/packages.js";
import { LANGUAGES, NAMES } from "../src/strings.js";

const WEB = fileURLToPath(new URL("..", import.meta.url));
const CLIENTS = join(WEB, "..");
const run = promisify(execFile);

test("the types are right", async () => {
  const tsc = join(dirname(found("typescript/package.json")), "bin/tsc");
  const { stdout } = await run(process.execPath, [tsc, "-p", WEB]).catch((error) => error);
  assert.equal(stdout, "");
});

test("each language says the same, with the same values in it", () => {
  const values = (text) => (text.match(/\{\w+\}/g) ?? []).sort();
  const { en, ...others } = LANGUAGES;
  assert.deepEqual(Object.keys(NAMES), Object.keys(LANGUAGES));
  for (const [language, strings] of Object.entries(others)) {
    assert.deepEqual(Object.keys(strings), Object.keys(en), language);
    for (const [key, text] of Object.entries(strings)) {
      if (typeof text !== "string") continue;
      assert.ok(text.trim(), `${language}: ${key}`);
      assert.deepEqual(values(text), values(en[key]), `${language}: ${key}`);
    }
  }
});

/** All that a module imports, the module with it, as paths below `clients/`. */
async function imported(path, all = new Set()) {
  if (all.has(path)) return all;
  all.add(path);
  const text = await readFile(join(CLIENTS, path), "utf8");
  for (const [, other] of text.matchAll(/^(?:import|export)[^;]*? from "(\.[^"]+)"/gm)) await imported(normalize(join(dirname(path), other)), all);
  return all;
}

test("the page asks for all modules at once, and for nothing else", async () => {
  const page = await readFile(join(WEB, "index.html"), "utf8");
  const named = [...page.matchAll(/(?:href|src)="([^"]+\.js)"/g)].map(([, path]) => path);
  assert.deepEqual(named.sort(), [...(await imported("web/src/main.js"))].sort());
});

test("text becomes markup nowhere, and files are short", async () => {
  const names = await readdir(join(WEB, "src"));
  for (const name of names) {
    const text = await readFile(join(WEB, "src", name), "utf8");
    assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|setAttribute\("style"/, name);
    assert.ok(text.split("\n").length <= 300, name);
  }
});
