/** The start: the key of the address, a token for it, and a client. */

/** @import { Access } from "./access.js" */
import { ChatClient } from "../../typescript/src/index.js";
import { IndexedDbStore } from "../../typescript/src/store/indexeddb.js";
import { NoAccess, access } from "./access.js";
import { App } from "./app.js";
import { say } from "./element.js";
import { apply, t } from "./language.js";

/** Until the server is asked again: milliseconds. */
const PAUSE = 2_000;

/** @param {string} text */
function tell(text) {
  const notice = document.getElementById("notice");
  if (!notice) return;
  say(notice, text);
  notice.hidden = !text;
}

/** Asks until the server answers. @returns {Promise<Access | null>} */
async function enter() {
  for (;;) {
    try {
      return await access();
    } catch (error) {
      if (error instanceof NoAccess) {
        tell(error.reason === "refused" ? t("error", { reason: "401" }) : t(error.reason));
        return null;
      }
      tell(t("noServer"));
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
  }
}

/** @param {unknown} error */
function noToken(error) {
  if (error instanceof NoAccess) return null;
  throw error;
}

async function start() {
  apply();
  document.title = t("title");
  tell(t("loading"));
  const first = await enter();
  if (!first) return;
  const { user, peer } = first;
  /** @type {string | null} */
  let given = first.token;
  const chat = new ChatClient({
    url: new URL("..", location.href).href,
    // A key that is not good any more ends the connection; a server that is away does not.
    token: ({ refresh }) => {
      const token = refresh ? null : given;
      given = null;
      return token ?? access().then(({ token }) => token, noToken);
    },
    store: new IndexedDbStore(`netrox-demo-${user.id}`),
  });
  const app = new App(chat, first);
  await chat.load().catch(() => {});
  tell("");
  document.getElementById("page")?.replaceChildren(app.status.element, app.element);
  app.localize();
  chat.connect();
  if (matchMedia("(width >= 45rem)").matches) app.open(peer.id);
}

// Another key, or another user: all anew.
addEventListener("hashchange", () => location.reload());
start();
