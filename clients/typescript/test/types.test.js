/** The types: strictly checked, those of the descriptions, those of the package, and small. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { compiled } from "./tools/declarations.js";
import { described, payloads, typeOf } from "./tools/described.js";
import { found, load } from "./tools/packages.js";

const run = promisify(execFile);
const OPTIONS = { timeout: 120_000 };
const ROOT = fileURLToPath(new URL("..", import.meta.url));
const TYPES = join(ROOT, "src/types.js");
/** Bytes. */
const MOST = 12 * 1024;

async function directory(t) {
  const made = await mkdtemp(join(tmpdir(), "netrox-chat-types-"));
  t.after(() => rm(made, { recursive: true, force: true }));
  return made;
}

/** Fails with what tsc says. */
async function check(directory, options = {}) {
  const compilerOptions = { strict: true, noEmit: true, module: "nodenext", target: "es2022", lib: ["es2024", "dom"], types: [], ...options };
  await writeFile(join(directory, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }));
  try {
    await run(process.execPath, [join(found("typescript"), "../../lib/tsc.js"), "-p", directory]);
  } catch (error) {
    throw new Error(error.stdout || error.message);
  }
}

test("the sources pass strict checks", OPTIONS, async () => {
  const { stdout } = await run(process.execPath, [join(found("typescript"), "../../lib/tsc.js"), "-p", ROOT]).catch((error) => error);
  assert.equal(stdout, "");
});

/** What the protocol has, and a description does not have yet. With it this list has no effect. */
const AHEAD = {
  receive: ["typing", "presence_watch", "presence_set"],
  send: ["typing", "presence", "user"],
  keys: { ack: ["states"] },
  codes: ["not_enabled", "reset"],
};

const SENT = {
  chat_message: "ChatMessageFrame",
  chat_message_file: "ChatMessageFileFrame",
  message_edit: "MessageEditFrame",
  message_delete: "MessageDeleteFrame",
  delivered: "DeliveredFrame",
  seen: "SeenFrame",
  typing: "SetTypingFrame",
  presence_watch: "PresenceWatchFrame",
  presence_set: "PresenceSetFrame",
  block: "BlockFrame",
  unblock: "UnblockFrame",
  token_refresh: "TokenRefreshFrame",
  ping: "PingFrame",
};
const TOLD = {
  hello: "HelloFrame",
  live: "LiveFrame",
  message: "MessageFrame",
  thread: "ThreadFrame",
  ack: "AckFrame",
  error: "ErrorFrame",
  typing: "TypingFrame",
  presence: "PresenceFrame",
  user: "UserFrame",
  token_expiring: "TokenExpiringFrame",
  reconnect: "ReconnectFrame",
};
const OBJECTS = ["User", "Attachment", "Message", "ThreadState", "Thread", "Limits", "Block", "Changes", "Snapshot", "ThreadPage", "MessagePage", "Me"];

/** A program that tsc refuses where a type is not that of its description. */
function comparison(asyncapi, openapi) {
  const lines = [
    `import type * as Own from ${JSON.stringify(TYPES)};`,
    "type Equal<A, B> = [A] extends [B] ? ([B] extends [A] ? ([keyof A] extends [keyof B] ? ([keyof B] extends [keyof A] ? true : never) : never) : never) : never;",
  ];
  const names = new Map(Object.entries({ ...asyncapi.components.schemas, ...openapi.components.schemas }));
  // That of the frames counts, and they are held to be equal where both have one.
  for (const [name, schema] of names) lines.push(`type ${name} = ${typeOf(schema)};`);
  let count = 0;
  const equal = (own, schema) => lines.push(`export const _${++count}: Equal<${own}, ${schema}> = true;`);
  for (const name of OBJECTS) if (names.has(name)) equal(`Own.${name}`, name);
  const directions = [
    ["receive", SENT, new Map([...payloads(asyncapi, "receive")])],
    ["send", TOLD, new Map([...payloads(asyncapi, "send"), ...answers(asyncapi)])],
  ];
  const missing = [];
  for (const [direction, own, payloads] of directions) {
    for (const [action, name] of Object.entries(own)) {
      const payload = payloads.get(action);
      payloads.delete(action);
      if (!payload) {
        if (!AHEAD[direction].includes(action)) missing.push(`${direction} ${action} is not described`);
        continue;
      }
      const ahead = (AHEAD.keys[action] ?? []).filter((key) => !(key in (payload.properties ?? {})));
      if (action === "error") {
        equal(`Omit<Own.${name}, "code">`, `Omit<${typeOf(payload)}, "code">`);
        lines.push(`export const codes: Own.ErrorCode = null! as ${typeOf(payload.properties.code)};`);
      } else equal(ahead.length ? `Omit<Own.${name}, ${ahead.map((key) => JSON.stringify(key)).join(" | ")}>` : `Own.${name}`, typeOf(payload));
    }
    for (const action of payloads.keys()) missing.push(`${direction} ${action} has no type`);
  }
  const codes = [
    typeOf(answers(asyncapi).get("error").properties.code),
    typeOf(openapi.components.schemas.Problem.properties.code),
    ...AHEAD.codes.map((code) => JSON.stringify(code)),
  ].join(" | ");
  lines.push(`export const all: Equal<Own.ErrorCode, ${codes}> = true;`);
  return { text: lines.join("\n"), missing };
}

function answers(asyncapi) {
  const { receive } = asyncapi.operations;
  return payloads({ ...asyncapi, operations: { answer: receive.reply } }, "answer");
}

test("frames and objects are those of the descriptions", OPTIONS, async (t) => {
  const { text, missing } = comparison(described("asyncapi.yaml"), described("openapi.yaml"));
  assert.deepEqual(missing, []);
  const made = await directory(t);
  await writeFile(join(made, "comparison.ts"), text);
  await check(made);
});

test("a description that says something else is found", OPTIONS, async (t) => {
  const changes = [
    (asyncapi) => delete asyncapi.components.messages.live.payload.properties.unread_total,
    (asyncapi) => (asyncapi.components.messages.hello.payload.properties.behind = { type: "string" }),
    (asyncapi) => (asyncapi.components.messages.seen.payload.required = ["action", "peer_id"]),
    (asyncapi) => (asyncapi.components.messages.reconnect.payload.properties.why = { type: "string" }),
    (asyncapi) => asyncapi.components.messages.error.payload.properties.code.enum.push("another"),
  ];
  const made = await directory(t);
  for (const [i, change] of changes.entries()) {
    const asyncapi = described("asyncapi.yaml");
    change(asyncapi);
    await writeFile(join(made, `change${i}.ts`), comparison(asyncapi, described("openapi.yaml")).text);
  }
  const found = await check(made).then(() => "", String);
  for (const i of changes.keys()) assert.match(found, new RegExp(`change${i}\\.ts`), String(changes[i]));
});

test("a program in TypeScript has the types of the package", OPTIONS, async (t) => {
  const made = await directory(t);
  await compiled(join(made, "types"));
  await writeFile(
    join(made, "app.ts"),
    `import { ChatClient, ChatError, MemoryStore } from "./types/index.js";
     import { IndexedDbStore } from "./types/store/indexeddb.js";
     import type { Store, Options, ShownMessage, AnyEvent } from "./types/index.js";
     const stores: Store[] = [new MemoryStore(), new IndexedDbStore("name")];
     const options: Options = { url: "https://chat.example.com", token: async ({ refresh }) => (refresh ? null : "x"), store: stores[0] };
     const chat = new ChatClient(options);
     chat.on("message", ({ message, ring }) => { const id: number = message.id; const is: boolean = ring; void [id, is]; });
     // @ts-expect-error: there is no such event
     chat.on("nothing", () => {});
     // @ts-expect-error: a peer is a string
     chat.send(1, "text");
     export async function run(): Promise<ShownMessage[]> {
       const { clientRef, sent } = await chat.send("peer", "text", { replyTo: 1, meta: { a: 1 } });
       const { message_id } = await sent.catch((error: ChatError) => { throw error.code === "no_answer" ? error : clientRef; });
       for await (const event of chat.events()) { const any: AnyEvent = event; if (any.type === "typing") return chat.messages(any.peer_id); }
       return message_id ? [] : [];
     }`,
  );
  await check(made, { skipLibCheck: false });
});

test("the start of the README is a program", OPTIONS, async (t) => {
  const readme = await readFile(join(ROOT, "README.md"), "utf8");
  const start = readme.split("```js\n")[1].split("```")[0];
  const own = (name) => JSON.stringify(`./types/${name}`);
  const text = start.replace('"netrox-chat-client"', own("index.js")).replace('"netrox-chat-client/indexeddb"', own("store/indexeddb.js"));
  assert.match(text, /types\/index.js/);
  const made = await directory(t);
  await compiled(join(made, "types"));
  const known = "declare const userId: string, peerId: string; declare function notify(of: object): void; declare function show(): void;";
  await writeFile(join(made, "start.ts"), `${known}\n${text}`);
  await writeFile(join(made, "package.json"), '{"type":"module"}');
  await check(made);
});

test("it needs nothing, and has no more than 12 KiB minified and gzipped, with the store of IndexedDB", OPTIONS, async (t) => {
  const manifest = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
  assert.equal(manifest.dependencies, undefined);
  for (const script of ["preinstall", "install", "postinstall", "prepare"]) assert.equal(manifest.scripts[script], undefined);
  const { build } = await load("esbuild");
  // All that a page needs: what is exported, and the store of IndexedDB, which is imported for itself.
  const { outputFiles, metafile } = await build({
    stdin: { contents: 'export * from "./index.js"; export * from "./store/indexeddb.js";', resolveDir: join(ROOT, "src") },
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
    metafile: true,
  });
  const inputs = Object.keys(metafile.inputs);
  for (const path of inputs) assert.match(path, /^(<stdin>|.*src\/[a-z/]+\.js)$/);
  for (const needed of ["client", "store/indexeddb"]) assert.ok(inputs.some((path) => path.endsWith(`src/${needed}.js`)), needed);
  const size = gzipSync(outputFiles[0].contents, { level: 9 }).length;
  t.diagnostic(`${size} bytes`);
  assert.ok(size <= MOST, `${size} bytes`);
});
