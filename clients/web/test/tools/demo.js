/** The program with its web client, behind a network that can be cut. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { PROGRAM, Program } from "../../../typescript/test/tools/program.js";

export const ALICE = "a11ce000-0000-4000-8000-000000000001";
export const BOB = "b0b00000-0000-4000-8000-000000000002";

/** Each start prints the address of the page anew. */
export class Demo extends Program {
  /** @override */
  async run() {
    const told = new Promise((resolve) => (this.told = resolve));
    await super.run();
    this.address = await told;
    this.key = new URLSearchParams(new URL(this.address).hash.slice(1)).get("key");
  }

  /** @override */
  heard(line) {
    const url = line.includes('"demo.url"') && JSON.parse(line)["demo.url"];
    if (url) this.told(url);
  }

  /** With a program that prints it. Everything is searched, and nobody is too fast. */
  static open(t, ...flags) {
    return Demo.start(t, "--demo", "on", "--search", "--send-rate", "0", ...flags);
  }

  /** Fills the database, while nothing runs on it, with a conversation of so many messages. */
  async fill(count, textOf) {
    const lines = [ALICE, BOB].map((id) => ({ type: "user", id, email: `${id.slice(0, 4)}@example.com` }));
    lines.push({ type: "thread", id: 1, user_one: ALICE, user_two: BOB, created: new Date(1.7e12).toISOString() });
    for (let id = 1; id <= count; id++) {
      const [sender_id, receiver_id] = id % 3 ? [ALICE, BOB] : [BOB, ALICE];
      const created = new Date(1.7e12 + id * 60_000).toISOString();
      lines.push({ type: "message", id, thread_id: 1, sender_id, receiver_id, created, body: textOf(id) });
    }
    for (const user_id of [ALICE, BOB]) lines.push({ type: "mark", thread_id: 1, user_id, seen_id: count, delivered_id: count });
    const file = join(this.directory, "filled.jsonl");
    await writeFile(file, lines.map((line) => JSON.stringify(line) + "\n").join(""));
    const child = spawn(PROGRAM, ["import", "jsonl", file, "--data-dir", "data"], { cwd: this.directory, stdio: ["ignore", "ignore", "inherit"] });
    const [code] = await once(child, "exit");
    if (code !== 0) throw new Error(`the import ended with ${code}`);
  }
}

/** What is between the browser and the program. */
export class Network {
  #sockets = new Set();
  #isUp = true;

  static async start(t, port) {
    const network = new Network();
    network.server = createServer((client) => network.#relay(client, port));
    network.server.listen(0, "127.0.0.1");
    await once(network.server, "listening");
    network.port = network.server.address().port;
    t.after(() => {
      network.cut();
      network.server.close();
    });
    return network;
  }

  /** Ends what is open, and all that is tried. */
  cut() {
    this.#isUp = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend() {
    this.#isUp = true;
  }

  #relay(client, port) {
    if (!this.#isUp) return client.destroy();
    const server = connect(port, "127.0.0.1");
    for (const [from, to] of [[client, server], [server, client]]) {
      this.#sockets.add(from);
      from.setNoDelay(true);
      from.on("error", () => {});
      from.on("close", () => {
        this.#sockets.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
  }
}
