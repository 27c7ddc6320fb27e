// The adapter of the TypeScript client, on Node. NETROX_CHAT_TYPESCRIPT is where its sources are.

import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";

const SOURCES =
  process.env.NETROX_CHAT_TYPESCRIPT ?? fileURLToPath(new URL("../../typescript/src", import.meta.url));
const from = (file) => import(pathToFileURL(`${SOURCES}/${file}`));
const { ChatClient, MemoryStore } = await from("index.js");
const { TABLES, TableStore } = await from("store/tables.js");
const { TIMING } = await from("timing.js");

const tell = (told) => process.stdout.write(`${JSON.stringify(told)}\n`);

/** Tables in a file, which is replaced as a whole: a client that is killed finds it again. */
function fileStore(path) {
  const tables = {};
  let rows = {};
  try {
    rows = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
  }
  for (const [name, key] of Object.entries(TABLES)) {
    const table = (rows[name] ??= {});
    tables[name] = {
      get: async (wanted) => table[wanted],
      all: async () => Object.values(table).sort((a, b) => (a[key] < b[key] ? -1 : 1)),
      put: (row) => void (table[row[key]] = structuredClone(row)),
      remove: (wanted) => void delete table[wanted],
      clear: () => Object.keys(table).forEach((each) => delete table[each]),
    };
  }
  let last = Promise.resolve();
  const transaction = (work) =>
    (last = last.then(async () => {
      const result = await work(tables);
      writeFileSync(`${path}.new`, JSON.stringify(rows));
      renameSync(`${path}.new`, path);
      return result;
    }));
  return new TableStore(transaction, () => {});
}

let chat;
let kept;
/** Milliseconds between two keys of who types. */
let keys;
const wanted = [];
const seenBefore = new Set();

/** One question at a time is asked of the kit. */
async function token() {
  tell({ event: "token_wanted" });
  return new Promise((resolve) => wanted.push(resolve));
}

const AWAY = new Set(["token", "replaced", "refused", "wrong_user"]);

function watch() {
  chat.on("state", ({ state, reason }) => {
    const name = state === "stopped" ? (AWAY.has(reason) ? "away" : reason) : state === "away" ? "waiting" : state;
    tell({ event: "state", state: name });
  });
  chat.on("message", ({ message, ring }) => {
    const first = !seenBefore.has(message.id);
    seenBefore.add(message.id);
    tell({ event: "message", message_id: message.id, text: message.message, first, ring });
  });
  chat.on("sent", ({ client_ref, message_id }) => tell({ event: "sent", client_ref, message_id }));
  chat.on("failed", ({ client_ref, error }) => tell({ event: "refused", client_ref, code: error.code }));
  chat.on("typing", ({ peer_id, typing }) => tell({ event: "typing", peer_id, typing }));
  chat.on("presence", ({ peer_id, online }) => tell({ event: "presence", peer_id, online }));
}

const typing = new Map();

const commands = {
  async start({ url, store, scale }) {
    const timing = Object.fromEntries(Object.entries(TIMING).map(([name, time]) => [name, time * scale]));
    keys = 1000 * scale;
    kept = store ? fileStore(`${store}.json`) : new MemoryStore();
    chat = new ChatClient({
      url,
      token,
      store: kept,
      timing,
      tickets: false,
      subprotocol: true,
    });
    watch();
    chat.connect();
  },
  async stop() {
    await chat.close();
  },
  async send({ peer_id, text, client_ref, reply_to }) {
    const { sent } = await chat.send(peer_id, text, { clientRef: client_ref, replyTo: reply_to });
    sent.catch(() => {});
  },
  async seen({ peer_id, up_to }) {
    chat.seen(peer_id, up_to);
  },
  async typing({ peer_id, typing: does }) {
    clearInterval(typing.get(peer_id));
    chat.typing(peer_id, does);
    // It ends by itself where nobody types on.
    if (does) typing.set(peer_id, setInterval(() => chat.typing(peer_id, true), keys));
  },
  async watch({ peer_ids }) {
    chat.watchPresence(peer_ids)?.catch?.(() => {});
  },
  async wake() {
    chat.wake();
  },
  async state() {
    const unread = {};
    const messages = [];
    const outbox = [];
    for (const { peer_id, unread: count } of chat.threads()) {
      unread[peer_id] = count;
      for (const { id, message, hidden, status } of chat.messages(peer_id))
        if (status === "sent" && !hidden) messages.push({ message_id: id, text: message });
    }
    // What was refused stays there until the user has decided.
    for (const { client_ref, failed } of await kept.outbox()) if (!failed) outbox.push(client_ref);
    messages.sort((a, b) => a.message_id - b.message_id);
    return { messages, unread, outbox };
  },
};

createInterface({ input: process.stdin })
  .on("line", async (line) => {
    const { id, do: what, ...fields } = JSON.parse(line);
    if (what === "token") {
      wanted.shift()?.(fields.token);
      return;
    }
    try {
      tell({ id, ok: true, ...(await commands[what](fields)) });
    } catch (error) {
      tell({ id, ok: false, error: String(error?.stack ?? error) });
    }
  })
  .on("close", () => process.exit());
