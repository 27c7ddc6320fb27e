/** A network that breaks: each connection is cut after as many bytes, of both ways together, as `budget` says. */

import { connect, createServer } from "node:net";
import { once } from "node:events";

export class Proxy {
  cuts = 0;
  #sockets = new Set();

  /** `budget` gives a count of bytes, or Infinity. */
  static async start(t, port, budget) {
    const proxy = new Proxy();
    proxy.budget = budget;
    proxy.server = createServer((client) => proxy.#relay(client, connect(port, "127.0.0.1")));
    proxy.server.listen(0, "127.0.0.1");
    await once(proxy.server, "listening");
    proxy.url = `http://127.0.0.1:${proxy.server.address().port}`;
    t.after(() => {
      proxy.server.close();
      for (const socket of proxy.#sockets) socket.destroy();
    });
    return proxy;
  }

  #relay(client, server) {
    let left = this.budget();
    const cut = (count) => {
      if (count) this.cuts++;
      for (const socket of [client, server]) socket.destroy();
    };
    for (const [from, to] of [
      [client, server],
      [server, client],
    ]) {
      this.#sockets.add(from);
      from.setNoDelay(true);
      from.on("close", () => {
        this.#sockets.delete(from);
        to.destroy();
      });
      from.on("error", () => {});
      from.on("data", (bytes) => {
        if (bytes.length < left) {
          left -= bytes.length;
          to.write(bytes);
          return;
        }
        // The part of it that still went through, and then nothing.
        to.write(bytes.subarray(0, left), () => cut(true));
        left = 0;
        from.pause();
      });
      from.on("end", () => to.end());
    }
  }
}

/** Random numbers that a seed repeats. */
export function seeded(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
