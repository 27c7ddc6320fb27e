/** Hooks over a client: a component shows what is held, and is drawn again when that changes. */

import { useEffect, useMemo, useRef, useSyncExternalStore } from "react";

/** What changes what a conversation shows. */
const CHANGES = ["message", "thread", "outbox", "reset", "state", "typing", "user"];

/**
 * A value of the client that is read again at each change.
 *
 * @template T
 * @param {import("../../clients/typescript/src/client.js").ChatClient} chat
 * @param {() => T} read
 * @returns {T}
 */
function useHeld(chat, read) {
  const held = useRef(/** @type {{ version: number, value: T } | null} */ (null));
  const version = useRef(0);
  const reading = useRef(read);
  reading.current = read;
  const subscribe = useMemo(
    () => (changed) => {
      // What changed since it was drawn has told nobody.
      version.current++;
      const ends = CHANGES.map((type) => chat.on(type, () => (version.current++, changed())));
      return () => ends.forEach((end) => end());
    },
    [chat],
  );
  // The same until something changes: else React would draw for ever.
  const snapshot = () => {
    if (held.current?.version !== version.current) held.current = { version: version.current, value: reading.current() };
    return held.current.value;
  };
  return useSyncExternalStore(subscribe, snapshot, snapshot);
}

/** The conversations, the newest first. */
export const useThreads = (chat) => useHeld(chat, () => chat.threads());

/**
 * One conversation: its messages, and what can be done in it. Give the component that calls it `key={peerId}`.
 *
 * @param {import("../../clients/typescript/src/client.js").ChatClient} chat
 * @param {string} peerId
 */
export function useConversation(chat, peerId) {
  const messages = useHeld(chat, () => chat.messages(peerId));
  const thread = useHeld(chat, () => chat.thread(peerId));
  const state = useHeld(chat, () => chat.state);
  const last = messages.at(-1)?.id;
  useEffect(() => {
    const look = () => document.hidden || chat.seen(peerId);
    look();
    document.addEventListener("visibilitychange", look);
    return () => document.removeEventListener("visibilitychange", look);
  }, [chat, peerId, last]);
  return {
    messages,
    state,
    /** Of a message of one's own. */
    isSeen: (message) => message.status === "sent" && message.id <= (thread?.peer_seen_id ?? 0),
    send: (text) => chat.send(peerId, text),
    typing: (isTyping = true) => chat.typing(peerId, isTyping),
    older: () => chat.history(peerId),
  };
}
