/** Client of netrox-chat's second generation (docs/PROTOCOL-2.md). */
export { ChatClient } from "./client.js";
export { ChatError } from "./errors.js";
export { IndexedDbStore } from "./store/indexeddb.js";
export { MemoryStore } from "./store/memory.js";
export type Options = import("./types.js").Options;
/** @typedef {import("./types.js").Options} Options */
