/** Chromium, driven over a pipe: tabs of one profile, at a page that has this package. It ends with the test. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serve } from "./pages.js";

export const CHROMIUM = process.env.NETROX_CHAT_TEST_CHROMIUM;

const flags = (profile) => [
  "--headless",
  // It may be root, in a container.
  "--no-sandbox",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  // It talks to nobody but the servers of the test.
  "--disable-background-networking",
  "--disable-component-update",
  "--no-proxy-server",
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.*",
  "--no-first-run",
  `--user-data-dir=${profile}`,
  "--remote-debugging-pipe",
  "about:blank",
];

/** Serves the modules of `src/`, and an empty page. */
const served = (t) =>
  serve(t, (path) => (path.startsWith("/src/") ? readFile(new URL(`../..${path}`, import.meta.url)) : "<!doctype html><title>chat</title>"));

/** Gives what opens a tab. */
export async function browser(t) {
  const page = await served(t);
  const profile = await mkdtemp(join(tmpdir(), "netrox-chat-browser-"));
  const child = spawn(CHROMIUM, flags(profile), { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"], env: { ...process.env, HOME: profile } });
  const ended = once(child, "exit");
  t.after(async () => {
    child.kill("SIGKILL");
    await ended;
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  });
  const [, , , commands, answers] = child.stdio;
  const waiting = new Map();
  let text = "";
  answers.setEncoding("utf8").on("data", (part) => {
    const messages = (text + part).split("\0");
    text = messages.pop();
    for (const message of messages.map((message) => JSON.parse(message))) waiting.get(message.id)?.(message);
  });
  let last = 0;
  const ask = async (method, params, sessionId) => {
    const id = ++last;
    const answered = new Promise((resolve) => waiting.set(id, resolve));
    commands.write(JSON.stringify({ id, method, params, sessionId }) + "\0");
    const gone = ended.then(([code]) => ({ error: `Chromium ended with ${code}` }));
    const { error, result } = await Promise.race([answered, gone]);
    if (error || result.exceptionDetails) throw new Error(`${method}: ${JSON.stringify(error ?? result.exceptionDetails)}`);
    return result;
  };
  return async () => {
    const { targetId } = await ask("Target.createTarget", { url: page });
    const { sessionId } = await ask("Target.attachToTarget", { targetId, flatten: true });
    /** What a function gives in the page. */
    const run = async (work, ...of) => {
      const expression = `(${work})(...${JSON.stringify(of)})`;
      const { result } = await ask("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true }, sessionId);
      return result.value;
    };
    // The first document may still be the empty one.
    while (!(await run(() => location.href.startsWith("http") && document.readyState === "complete")));
    return {
      run,
      close: () => ask("Target.closeTarget", { targetId }),
      reload: async () => {
        await run(() => (window.isOld = true));
        await ask("Page.reload", {}, sessionId);
        while (!(await run(() => !window.isOld && document.readyState === "complete").catch(() => false)));
      },
    };
  };
}
