/** A chat in a page of plain JavaScript. Its address says where and who: `index.html#url=…&token=…&user=…&peer=…`. */

import { ChatClient } from "../../clients/typescript/src/index.js";
import { IndexedDbStore } from "../../clients/typescript/src/store/indexeddb.js";

const said = new URLSearchParams(location.hash.slice(1));
const [url, token, user, peer] = ["url", "token", "user", "peer"].map((name) => said.get(name) ?? "");
const part = (id) => document.getElementById(id);

const chat = new ChatClient({
  url,
  // Yours asks your auth service for one, and for another if `refresh` is true.
  token: ({ refresh }) => (refresh ? null : token),
  // A store is of one user: it has the user's id in its name.
  store: new IndexedDbStore(`plain-${user}`),
});

function show() {
  part("state").textContent = chat.state;
  const { peer_seen_id = 0 } = chat.thread(peer) ?? {};
  const items = chat.messages(peer).map(({ id, sender_id, message, status, deleted }) => {
    const mark = sender_id === peer ? "" : status !== "sent" ? ` (${status})` : id <= peer_seen_id ? " ✓✓" : " ✓";
    const item = document.createElement("li");
    item.textContent = `${sender_id === peer ? "They" : "You"}: ${deleted ? "…" : message}${mark}`;
    return item;
  });
  part("messages").replaceChildren(...items);
  if (!document.hidden) chat.seen(peer);
}

for (const type of ["state", "message", "thread", "outbox", "reset"]) chat.on(type, show);
part("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = part("text").value;
  part("text").value = "";
  // It is written down, or was too long: then it can be changed.
  chat.send(peer, text).catch(() => (part("text").value ||= text));
});
chat.connect();
