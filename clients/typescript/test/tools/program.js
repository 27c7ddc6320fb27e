/** The real program, on a data directory of its own, and tokens of its users. */

import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const SECRET = "a secret of the tests of the client, long enough";

/** Where the program is: tests that need it are skipped where nobody says so. */
export const PROGRAM = process.env.NETROX_CHAT_TEST_PROGRAM;

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

export function token(userId, more = {}) {
  const claims = { user_id: userId, token_type: "access", exp: Math.floor(Date.now() / 1000) + 3600, email: `${userId.slice(0, 4)}@example.com`, ...more };
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
}

export class Program {
  #address = "127.0.0.1:0";

  static async start(t, ...flags) {
    const program = new this();
    program.directory = await mkdtemp(join(tmpdir(), "netrox-chat-client-"));
    program.flags = flags;
    t.after(async () => {
      await program.kill();
      await rm(program.directory, { recursive: true, force: true });
    });
    await program.run();
    return program;
  }

  async run() {
    const flags = ["--data-dir", "data", "--http-addr", this.#address, "--grpc-addr", "127.0.0.1:0", "--admin-addr", "none", "--log-format", "json"];
    const environment = Object.entries(process.env).filter(([key]) => !key.startsWith("NETROX_CHAT_"));
    const child = spawn(PROGRAM, ["serve", ...flags, "--jwt-secret", SECRET, ...this.flags], {
      cwd: this.directory,
      env: Object.fromEntries(environment),
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.child = child;
    this.ended = new Promise((resolve) => child.once("exit", resolve));
    const log = [];
    const listening = new Promise((resolve, reject) => {
      createInterface({ input: child.stderr }).on("line", (line) => {
        if (log.push(line) > 50) log.shift();
        this.heard(line);
        if (line.includes('"message":"listening"')) resolve(JSON.parse(line));
      });
      this.ended.then((code) => reject(new Error(`the program ended with ${code}:\n${log.join("\n")}`)));
    });
    listening.catch(() => {});
    this.#address = (await listening)["http.addr"];
    this.port = Number(this.#address.split(":")[1]);
    this.url = `http://${this.#address}`;
  }

  /** A line of its log. */
  heard() {}

  async kill() {
    this.child.kill("SIGKILL");
    await this.ended;
  }

  async get(path, userId) {
    const answer = await fetch(this.url + path, { headers: { Authorization: `Bearer ${token(userId)}` } });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  }

  /** All messages of a conversation, oldest first. */
  async history(userId, peerId) {
    const messages = [];
    for (let query = "order=oldest&limit=200"; ; ) {
      const page = await this.get(`/v2/threads/${peerId}/messages?${query}`, userId);
      messages.push(...page.messages);
      if (page.next === null) return messages;
      query = `limit=200&next=${encodeURIComponent(page.next)}`;
    }
  }
}
