// Runs a function in a page of Chromium, which is driven over a pipe. It ends with this process.
"use strict";

const { spawn } = require("node:child_process");
const { once } = require("node:events");
const path = require("node:path");

const FLAGS = [
  "--headless",
  // It may be root, in a container.
  "--no-sandbox",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  // It talks to nobody but the server of the test.
  "--disable-background-networking",
  "--disable-component-update",
  "--no-proxy-server",
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.*",
  "--no-first-run",
  `--user-data-dir=${path.resolve("profile")}`,
  "--remote-debugging-pipe",
  "about:blank",
];

/** What the function gives, in the page, for `argument`. */
async function inPage(work, argument) {
  // The pipe that it reads, and the one that it writes: JSON, each with a zero byte behind it.
  const browser = spawn(process.env.NETROX_CHAT_TEST_CHROMIUM, FLAGS, {
    stdio: ["ignore", "inherit", "inherit", "pipe", "pipe"],
  });
  const ended = once(browser, "exit");
  const [, , , commands, answers] = browser.stdio;
  const waiting = new Map();
  let text = "";
  answers.setEncoding("utf8").on("data", (part) => {
    const messages = (text + part).split("\0");
    text = messages.pop();
    for (const message of messages.map((message) => JSON.parse(message))) {
      waiting.get(message.id)?.(message);
    }
  });
  let last = 0;
  const ask = async (method, params, sessionId) => {
    const id = ++last;
    const answered = new Promise((resolve) => waiting.set(id, resolve));
    commands.write(JSON.stringify({ id, method, params, sessionId }) + "\0");
    const gone = ended.then(([code]) => ({ error: `Chromium ended with ${code}` }));
    const { error, result } = await Promise.race([answered, gone]);
    if (error || result.exceptionDetails) {
      throw new Error(`${method}: ${JSON.stringify(error ?? result.exceptionDetails)}`);
    }
    return result;
  };
  const { targetId } = await ask("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await ask("Target.attachToTarget", { targetId, flatten: true });
  const expression = `(${work})(${JSON.stringify(argument)})`;
  const { result } = await ask(
    "Runtime.evaluate",
    { expression, awaitPromise: true, returnByValue: true },
    sessionId,
  );
  // At the end of its pipe.
  commands.end();
  await ended;
  return result.value;
}

module.exports = inPage;
