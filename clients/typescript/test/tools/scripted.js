/** A server that does what a test says: HTTP by `answer`, and each WebSocket in the test's hands. */

import { createServer } from "node:http";
import { once } from "node:events";
import { accepted, closing, decoded, text } from "./frames.js";

export const ME = "a11ce000-0000-4000-8000-000000000001";
export const PEER = "b0b00000-0000-4000-8000-000000000002";
export const OTHER = "ca701000-0000-4000-8000-000000000003";
export const TIME = "2026-11-30T08:00:00.000000Z";

export const LIMITS = {
  max_body_bytes: 16384,
  max_frame_bytes: 65536,
  max_server_frame_bytes: 131072,
  max_attachment_bytes: 26214400,
  max_meta_bytes: 4096,
  edit_window_s: 86400,
  delete_window_s: null,
  retain_s: null,
  ping_interval_s: 25,
  search: false,
};

export const hello = (more = {}) => ({
  action: "hello",
  user_id: ME,
  session_id: "s1",
  cursor: "c0",
  resumed: true,
  reset: null,
  behind: 0,
  time: new Date().toISOString().replace("Z", "000Z"),
  limits: LIMITS,
  ...more,
});

export const live = (more = {}) => ({ action: "live", cursor: "c0", unread_total: 0, ...more });

export const message = (id, more = {}) => ({
  id,
  thread: 1,
  sender_id: PEER,
  receiver_id: more.sender_id === ME ? PEER : ME,
  message: `text ${id}`,
  created: TIME,
  updated: TIME,
  deleted: false,
  hidden: false,
  reply_to: null,
  meta: null,
  dispatched: null,
  attachment: null,
  client_ref: null,
  rev: id,
  ...more,
});

export const thread = (more = {}) => ({
  id: 1,
  peer_id: PEER,
  last_id: 0,
  unread: 0,
  seen_id: 0,
  delivered_id: 0,
  peer_seen_id: 0,
  peer_delivered_id: 0,
  blocked: false,
  rev: 1,
  ...more,
});

export const threadObject = (more = {}) => ({
  ...thread(),
  peer: { id: more.peer_id ?? PEER, email: "", profile: null },
  created: TIME,
  last_message: null,
  ...more,
});

export const came = (of, more = {}) => ({ action: "message", cursor: `c${of.id}`, new: true, message: of, ...more });

export const ack = (frame, more = {}) => ({ action: "ack", ref: frame.ref ?? null, ...more });

export const sent = (frame, id, more = {}) =>
  ack(frame, { client_ref: frame.client_ref, message_id: id, thread: 1, created: TIME, repeated: false, ...more });

export const refused = (frame, code, more = {}) => ({
  action: "error",
  ref: frame.ref ?? null,
  client_ref: frame.client_ref ?? null,
  code,
  message: code,
  retry_after_ms: null,
  ...more,
});

export const problem = (status, code, more = {}, headers = {}) => ({
  status,
  body: { type: "about:blank", title: code, status, detail: code, code, ...more },
  headers: { "Content-Type": "application/problem+json", ...headers },
});

/** What comes, in order, for who asks for the next. */
class Arrivals {
  #kept = [];
  #waiting = [];
  push(one) {
    this.#kept.push(one);
    this.#match();
  }
  next(fits = () => true) {
    return new Promise((resolve) => {
      this.#waiting.push({ fits, resolve });
      this.#match();
    });
  }
  #match() {
    for (const waiting of [...this.#waiting]) {
      const at = this.#kept.findIndex(waiting.fits);
      if (at < 0) continue;
      this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
      waiting.resolve(this.#kept.splice(at, 1)[0]);
    }
  }
}

class Socket {
  frames = new Arrivals();
  /** Frames other than pings, as they came. */
  seen = [];
  pings = 0;
  answersPings = true;
  /** Bytes until it is cut. */
  left = Infinity;
  constructor(server, request, socket) {
    this.socket = socket;
    this.request = request;
    this.query = Object.fromEntries(new URL(request.url, "http://server").searchParams);
    this.ended = once(socket, "close").catch(() => {});
    socket.on("error", () => {});
    let bytes = Buffer.alloc(0);
    socket.on("data", (chunk) => {
      const { frames, rest } = decoded(Buffer.concat([bytes, chunk]));
      bytes = rest;
      for (const { opcode, payload } of frames) {
        if (opcode === 8) {
          this.closedWith = payload.length ? payload.readUInt16BE(0) : null;
          socket.end(closing(this.closedWith));
        }
        if (opcode !== 1) continue;
        const frame = JSON.parse(payload.toString());
        if (frame.action === "ping") {
          this.pings++;
          if (this.answersPings) this.send(ack(frame, { time: TIME }));
          continue;
        }
        this.seen.push(frame);
        (server.handle ?? ((frame, from) => from.frames.push(frame)))(frame, this);
      }
    });
  }
  /** In one segment. */
  send(...frames) {
    this.write(Buffer.concat(frames.map(text)));
  }
  write(bytes) {
    if (bytes.length < this.left) {
      this.left -= bytes.length;
      this.socket.write(bytes);
      return;
    }
    if (this.left < 0) return;
    this.socket.write(bytes.subarray(0, this.left), () => this.cut());
    this.left = -1;
  }
  next(action) {
    return this.frames.next((frame) => !action || frame.action === action);
  }
  close(code) {
    this.socket.end(closing(code));
  }
  cut() {
    this.socket.destroy();
  }
  greet(more = {}, liveMore = {}) {
    this.send(hello(more), live(liveMore));
  }
}

export class Scripted {
  #sockets = new Arrivals();
  opened = [];
  /** Requests, as `METHOD /path?query`. */
  requests = [];
  /** Gives {status, body, headers} for a request, or undefined for what is usual. */
  answer = () => undefined;
  /** Frames that come with the 101, in its segment. */
  greeting = () => [];
  /** Writes the 101 and the greeting. */
  accept = (socket, bytes) => socket.write(bytes);
  /** Of a new connection: bytes until it is cut. */
  budget = () => Infinity;
  handle = null;

  static async start() {
    const server = new Scripted();
    await server.#listen();
    return server;
  }

  async #listen() {
    this.http = createServer(async (request, response) => {
      const chunks = [];
      try {
        for await (const chunk of request) chunks.push(chunk);
      } catch {
        return;
      }
      const bytes = Buffer.concat(chunks);
      const { pathname, searchParams } = new URL(request.url, "http://server");
      const of = {
        method: request.method,
        path: pathname,
        query: Object.fromEntries(searchParams),
        token: request.headers.authorization?.slice(7),
        type: request.headers["content-type"],
        bytes,
        response,
        get body() {
          return bytes.length ? JSON.parse(bytes.toString()) : undefined;
        },
      };
      this.requests.push(`${request.method} ${request.url}`);
      const answer = (await this.answer(of)) ?? usual(of);
      if (answer === "hang") return;
      if (answer === "cut") return request.socket.destroy();
      response.writeHead(answer.status ?? 200, { "Content-Type": "application/json", ...answer.headers });
      response.end(answer.body === undefined ? "" : JSON.stringify(answer.body));
    });
    this.http.on("upgrade", (request, socket) => {
      const one = new Socket(this, request, socket);
      this.opened.push(one);
      one.left = this.budget();
      this.accept(one, Buffer.concat([accepted(request), ...this.greeting(one).map(text)]));
      this.#sockets.push(one);
    });
    this.http.listen(0, "127.0.0.1");
    await once(this.http, "listening");
    this.url = `http://127.0.0.1:${this.http.address().port}`;
  }

  /** The next connection. */
  connection() {
    return this.#sockets.next();
  }

  async stop() {
    for (const { socket } of this.opened) socket.destroy();
    this.http.closeAllConnections();
    this.http.close();
  }
}

function usual({ method, path }) {
  if (path === "/v2/ticket") return problem(404, "not_found");
  if (method === "GET" && path === "/v2/sync") return { body: { threads: [], next: null, cursor: "c0", unread_total: 0 } };
  if (method === "GET" && path.startsWith("/v2/threads/")) return { body: threadObject() };
  return problem(404, "not_found");
}
