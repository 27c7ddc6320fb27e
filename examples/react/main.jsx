/** The address of `index.html` says where and who: `#url=…&token=…&peer=…`. How to build it is in `examples/README.md`. */

import { useState } from "react";
import { createRoot } from "react-dom/client";
import { ChatClient } from "../../clients/typescript/src/index.js";
import { Conversation, Threads } from "./Chat.jsx";

const said = new URLSearchParams(location.hash.slice(1));
const chat = new ChatClient({
  url: said.get("url") ?? "",
  token: ({ refresh }) => (refresh ? null : said.get("token")),
});
chat.connect();

function App() {
  const [peerId, open] = useState(said.get("peer") ?? "");
  return (
    <main>
      <Threads chat={chat} open={open} />
      <Conversation key={peerId} chat={chat} peerId={peerId} />
    </main>
  );
}

createRoot(document.getElementById("root")).render(<App />);
