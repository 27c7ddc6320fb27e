/** A conversation in React. */

import { useState } from "react";
import { useConversation, useThreads } from "./useChat.js";

export function Threads({ chat, open }) {
  const threads = useThreads(chat);
  return (
    <ul aria-label="Conversations">
      {threads.map(({ peer_id, peer, unread }) => (
        <li key={peer_id}>
          <button onClick={() => open(peer_id)}>
            {peer?.email ?? peer_id} {unread > 0 && `(${unread})`}
          </button>
        </li>
      ))}
    </ul>
  );
}

export function Conversation({ chat, peerId }) {
  const { messages, state, isSeen, send, typing, older } = useConversation(chat, peerId);
  const [text, setText] = useState("");
  const submit = (event) => {
    event.preventDefault();
    setText("");
    // It is written down, or was too long: then it can be changed.
    if (text.trim()) send(text).catch(() => setText((now) => now || text));
  };
  return (
    <section>
      <p role="status">{state}</p>
      <button onClick={older}>Older</button>
      <ol aria-label="Messages">
        {messages.map((message) => (
          <li key={message.client_ref ?? message.id}>
            {message.deleted ? "…" : message.message} {message.sender_id !== peerId && (isSeen(message) ? "✓✓" : message.status)}
          </li>
        ))}
      </ol>
      <form onSubmit={submit}>
        <input aria-label="Message" value={text} onChange={({ target }) => (typing(), setText(target.value))} />
        <button>Send</button>
      </form>
    </section>
  );
}
