/**
 * The part of a conversation that is in memory: a window of messages without a hole, that goes where its reader goes. Older ones
 * are read from the server, page by page, and what is far from the reader is let go: it does not grow with the conversation.
 */

/** @import { ChatClient } from "../../typescript/src/client.js" */
/** @import { Message, MessagePage, ShownMessage, Uuid } from "../../typescript/src/types.js" */

const PAGE = 100;
/** Messages in the window. */
const MOST = 600;
/** Until what failed is asked for again: milliseconds. */
const PAUSE = 3_000;

/** @param {Message} message @returns {ShownMessage} */
const asSent = (message) => ({ ...message, status: "sent" });

/** A state with a smaller `rev` is old, in whatever order they come. @template {Message} T @param {T | undefined} held @param {T} next */
const newer = (held, next) => (held && held.rev > next.rev ? held : next);

/** The same for a message of one's own before it is sent and after. @param {ShownMessage} message */
export const keyOf = ({ client_ref, id }) => client_ref ?? `#${id}`;

export class Timeline {
  /** By id. @type {ShownMessage[]} */
  #window = [];
  /** The window goes up to the newest, and what is not sent yet is behind it. */
  #isAtEnd = true;
  #isAtStart = false;
  /** @type {"older" | "newer" | "around" | null} */
  loading = null;
  #resumes = 0;
  /** Counts moves: an answer from before one is of no use after it. */
  #era = 0;
  /** What was told while a page was on its way, which may be older. @type {Map<number, Message>} */
  #taken = new Map();

  /**
   * @param {ChatClient} chat
   * @param {Uuid} peerId
   * @param {() => void} changed
   * @param {(error: unknown) => void} failed
   */
  constructor(chat, peerId, changed, failed) {
    this.chat = chat;
    this.peerId = peerId;
    this.changed = changed;
    this.failed = failed;
    this.toEnd();
  }

  get isAtEnd() {
    return this.#isAtEnd;
  }

  /** Nothing is older than what is in the window. */
  get isAtStart() {
    return this.#isAtStart;
  }

  /** What is to be shown, the newest last. */
  items() {
    if (!this.#isAtEnd) return this.#window;
    const unsent = this.chat.messages(this.peerId).filter(({ status }) => status !== "sent");
    return [...this.#window, ...unsent];
  }

  /** @param {number} id */
  find(id) {
    return this.#window.find((message) => message.id === id) ?? null;
  }

  /** To the newest messages, as the client holds them; nothing of what was shown stays. */
  toEnd() {
    this.#era++;
    this.loading = null;
    this.#window = this.#newest().slice(-MOST);
    this.#isAtEnd = true;
    this.#isAtStart = false;
    this.changed();
    if (this.#window.length < PAGE) this.older();
  }

  /** To a message that may be anywhere. False where it is not there any more. @param {number} id */
  async around(id) {
    if (this.find(id)) return true;
    const era = ++this.#era;
    this.#begin("around");
    try {
      const [before, after] = await Promise.all([
        this.#read({ before: id + 1, limit: PAGE }),
        this.#read({ after: id, order: "oldest", limit: PAGE }),
      ]);
      if (era !== this.#era) return false;
      this.#window = this.#placed([...before.messages.reverse(), ...after.messages]);
      this.#isAtStart = before.next === null;
      this.#isAtEnd = after.next === null;
      this.#join();
      return this.find(id) !== null;
    } catch (error) {
      this.failed(error);
      return false;
    } finally {
      this.#done(era);
    }
  }

  /** Reads what is before the window. */
  older() {
    // Of a conversation that nobody has begun there is nothing.
    if (this.#isAtStart || !this.chat.thread(this.peerId)) return;
    return this.#extend("older", async () => {
      const first = this.#window[0]?.id;
      const { messages, next } = await this.#read({ before: first, limit: PAGE });
      return () => {
        // Its beginning was let go meanwhile, or is here only now: between would be a hole, or the same twice.
        if (this.#window[0]?.id !== first) return;
        this.#window = [...this.#placed(messages.reverse()), ...this.#window];
        this.#isAtStart = next === null;
        if (this.#window.length <= MOST) return;
        this.#window.length = MOST;
        this.#isAtEnd = false;
      };
    });
  }

  /** Reads what is behind the window. */
  newer() {
    if (this.#isAtEnd) return;
    return this.#extend("newer", async () => {
      const after = this.#window.at(-1)?.id ?? 0;
      const { messages, next } = await this.#read({ after, order: "oldest", limit: PAGE });
      return () => {
        this.#window.push(...this.#placed(messages));
        this.#isAtEnd = next === null;
        this.#join();
        this.#trimStart();
      };
    });
  }

  /** The client was told of a message. @param {Message} message */
  took(message) {
    if (this.loading) this.#taken.set(message.id, newer(this.#taken.get(message.id), message));
    const at = this.#window.findIndex(({ id }) => id === message.id);
    if (at >= 0) {
      if (this.#window[at].rev > message.rev) return;
      if (message.hidden) this.#window.splice(at, 1);
      else this.#window[at] = asSent(message);
    } else if (this.#isAtEnd) this.#merge();
    this.changed();
  }

  /** The client holds something else than before. */
  refresh() {
    if (this.#isAtEnd) this.#merge();
    this.changed();
  }

  /** @param {"older" | "newer"} way @param {() => Promise<() => void>} read gives what puts the answer in its place */
  async #extend(way, read) {
    if (this.loading || performance.now() < this.#resumes) return;
    const era = this.#era;
    this.#begin(way);
    try {
      const take = await read();
      if (era === this.#era) take();
    } catch (error) {
      this.#resumes = performance.now() + PAUSE;
      this.failed(error);
    } finally {
      this.#done(era);
    }
  }

  /** @param {"older" | "newer" | "around"} way */
  #begin(way) {
    this.#taken.clear();
    this.loading = way;
    this.changed();
  }

  /** What a page has, as it is by now. @param {Message[]} messages */
  #placed(messages) {
    return messages.map((message) => newer(this.#taken.get(message.id), message)).filter(({ hidden }) => !hidden).map(asSent);
  }

  /** @param {number} era */
  #done(era) {
    if (era !== this.#era) return;
    this.loading = null;
    this.changed();
  }

  /** @param {Record<string, string | number | undefined>} query @returns {Promise<MessagePage>} */
  #read(query) {
    return this.chat.rest.get(`/v2/threads/${this.peerId}/messages`, query);
  }

  /** What the client holds up to the newest, without a hole. */
  #newest() {
    return this.chat.messages(this.peerId).filter(({ status }) => status === "sent");
  }

  /**
   * The end of the window may have come to what the client holds. It goes to the newest where a page is enough: behind more of
   * them what is being read would be let go.
   */
  #join() {
    const newest = this.#newest();
    const last = this.#window.at(-1);
    if (newest[0] && last && newest[0].id <= last.id) {
      const behind = newest.filter(({ id }) => id > last.id);
      this.#isAtEnd = behind.length <= PAGE;
    }
    if (this.#isAtEnd) this.#merge();
  }

  /** Takes what the client holds at the end of the window. */
  #merge() {
    const newest = this.#newest();
    const first = newest[0]?.id ?? Infinity;
    const last = this.#window.at(-1)?.id ?? 0;
    // After a long time away there may be a hole between: what is before it is read again by who goes there.
    const isJoined = first <= last || this.#window.length === 0 || newest.length === 0;
    const before = isJoined ? this.#window.filter(({ id }) => id < first) : [];
    if (!isJoined) this.#isAtStart = false;
    this.#window = [...before, ...newest];
    this.#trimStart();
  }

  #trimStart() {
    if (this.#window.length <= MOST) return;
    this.#window = this.#window.slice(-MOST);
    this.#isAtStart = false;
  }
}
