/** `examples/`, each as it stands there, against the program. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { found, load } from "../../typescript/test/tools/packages.js";
import { serve } from "../../typescript/test/tools/pages.js";
import { PROGRAM, token } from "../../typescript/test/tools/program.js";
import { ALICE, BOB, Demo } from "./tools/demo.js";
import { CHROMIUM, browser, eventually, watch } from "./tools/windows.js";

const PYTHON = process.env.NETROX_CHAT_TEST_PYTHON;
const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const needs = (what) => ({ skip: what ? false : "needs a program, and what runs it", timeout: 120_000 });

/** Serves the repository, and what is `made` in place of a file. */
const pages = (t, made = {}) => serve(t, (path) => made[path] ?? readFile(join(ROOT, path)));

/** Both are users from here on. */
async function started(t, ...flags) {
  const program = await Demo.open(t, ...flags);
  for (const user of [ALICE, BOB]) await program.get("/v2/me", user);
  return program;
}

/** Starts a program that is to run until the test ends. Gives what waits for a line of it. */
function running(t, command, args, environment, cwd) {
  const child = spawn(command, args, { cwd: cwd ?? ROOT, env: { ...process.env, ...environment }, stdio: ["ignore", "pipe", "pipe"] });
  const ended = once(child, "exit");
  const lines = [];
  for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on("line", (line) => lines.push(line));
  t.after(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  return { ended, lines, line: (text) => eventually(() => lines.some((line) => line.includes(text)) || (child.exitCode !== null && assert.fail(lines.join("\n"))), text) };
}

/** Sends as a user does, and gives the message. */
async function send(program, user, peer, text) {
  const answer = await fetch(`${program.url}/v2/threads/${peer}/messages`, {
    method: "POST",
    headers: { Authorization: `Bearer ${token(user)}`, "Content-Type": "application/json" },
    body: JSON.stringify({ message_body: text, client_ref: crypto.randomUUID() }),
  });
  assert.ok(answer.ok, await answer.clone().text());
  return answer.json();
}

/** Writes to a bot of Bob, and sees the answer. */
async function assertAnswers(program, bot) {
  const { id } = await send(program, ALICE, BOB, "hello bot");
  await bot.line(`answered ${id} with`);
  const [, answer] = await eventually(async () => {
    const all = await program.history(ALICE, BOB);
    return all.length === 2 && all;
  }, "an answer");
  assert.deepEqual([answer.message, answer.sender_id, answer.reply_to], ["You said: hello bot", BOB, id]);
  const { peer_seen_id } = await eventually(async () => {
    const thread = await program.get(`/v2/threads/${BOB}`, ALICE);
    return thread.peer_seen_id >= id && thread;
  }, "that it was seen");
  assert.ok(peer_seen_id >= id);
  // The text of another bot is not answered; one that the answer makes too long is, as far as it goes.
  const { limits } = await program.get("/v2/me", ALICE);
  const other = await send(program, ALICE, BOB, "You said: hello");
  const { id: long } = await send(program, ALICE, BOB, "x" + "ü".repeat((limits.max_body_bytes - 1) / 2));
  await bot.line(`answered ${long} with`);
  const all = await program.history(ALICE, BOB);
  const cut = all.at(-1);
  assert.deepEqual([cut.reply_to, cut.message.startsWith("You said: xü"), cut.message.includes("\ufffd")], [long, true, false]);
  assert.equal(all.filter(({ reply_to }) => reply_to === other.id).length, 0);
}

test("curl", needs(PROGRAM), async (t) => {
  const program = await started(t);
  const script = running(t, "bash", ["examples/curl/chat.sh"], { URL: program.url, ALICE: token(ALICE), BOB: token(BOB), BOB_ID: BOB });
  const [code] = await script.ended;
  assert.equal(code, 0, script.lines.join("\n"));
  const stored = await program.history(ALICE, BOB);
  assert.deepEqual(stored.map(({ message }) => message), ["hello from curl"], "sent twice, stored once");
  await script.line(`sent message ${stored[0].id}`);
  await script.line('"action":"message"');
  const thread = await program.get(`/v2/threads/${BOB}`, ALICE);
  assert.equal(thread.peer_seen_id, stored[0].id);
});

test("a bot in Node", needs(PROGRAM), async (t) => {
  const program = await started(t);
  const bot = running(t, process.execPath, ["examples/node/bot.js"], { URL: program.url, TOKEN: token(BOB) });
  await bot.line("live");
  await assertAnswers(program, bot);
});

test("a bot in Python", needs(PROGRAM && PYTHON), async (t) => {
  const program = await started(t);
  const environment = { URL: program.url, TOKEN: token(BOB), PYTHONPATH: join(ROOT, "clients/python/src"), STORE: join(program.directory, "bot.db") };
  const bot = running(t, PYTHON, ["examples/python/bot.py"], environment);
  await bot.line("live");
  await assertAnswers(program, bot);
});

/** Opens the page of each, and has them write. */
async function assertChats(t, program, address, list) {
  const context = await (await browser(t)).newContext();
  const open = async (user, peer) => {
    const page = await context.newPage();
    watch(t, page);
    await page.goto(`${address}#${new URLSearchParams({ url: program.url, token: token(user), user, peer })}`);
    await page.getByText("live", { exact: true }).waitFor();
    return page;
  };
  const [alice, bob] = [await open(ALICE, BOB), await open(BOB, ALICE)];
  const write = async (page, text) => {
    await page.getByRole("textbox", { name: "Message" }).fill(text);
    await page.getByRole("button", { name: "Send" }).click();
  };
  await write(alice, "hello from a page");
  const shown = (page, text) => page.getByRole("list", { name: "Messages" }).getByRole("listitem").filter({ hasText: text });
  await shown(bob, "hello from a page").waitFor();
  await shown(alice, "hello from a page").filter({ hasText: "✓✓" }).waitFor();
  await write(bob, "and back");
  await shown(alice, "and back").waitFor();
  await list?.(alice, bob);
}

test("a page of plain JavaScript", needs(PROGRAM && CHROMIUM), async (t) => {
  const origin = await pages(t);
  const program = await started(t, "--cors-allow-origin", origin);
  await assertChats(t, program, `${origin}/examples/plain/index.html`);
});

test("hooks for React", needs(PROGRAM && CHROMIUM), async (t) => {
  const { build } = await load("esbuild");
  const { outputFiles } = await build({
    entryPoints: [join(ROOT, "examples/react/main.jsx")],
    bundle: true,
    jsx: "automatic",
    write: false,
    format: "esm",
    nodePaths: [join(dirname(found("react/package.json")), "..")],
  });
  const origin = await pages(t, { "/examples/react/bundle.js": outputFiles[0].text });
  const program = await started(t, "--cors-allow-origin", origin);
  await assertChats(t, program, `${origin}/examples/react/index.html`, async (alice) => {
    await alice.getByRole("list", { name: "Conversations" }).getByRole("button").waitFor();
  });
});
