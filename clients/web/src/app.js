/** The page: conversations beside the one that is open; on a phone one of the two. */

/** @import { ChatClient } from "../../typescript/src/client.js" */
/** @import { Access } from "./access.js" */
import { addressOf } from "./access.js";
import { Conversation } from "./conversation.js";
import { make, say, set } from "./element.js";
import { choose, current, t } from "./language.js";
import { ConversationList } from "./list.js";
import { People } from "./people.js";
import { Search } from "./search.js";
import { Status } from "./status.js";
import { NAMES } from "./strings.js";

export class App {
  /** @param {ChatClient} chat @param {Access} access */
  constructor(chat, { user, peer, search }) {
    this.people = new People(chat, user, peer);
    this.status = new Status(chat, this.people);
    const failed = (/** @type {unknown} */ error, isAsked = false) => this.status.failed(error, isAsked);
    chat.on("error", ({ error }) => failed(error));
    this.list = new ConversationList(chat, this.people, (peerId) => this.open(peerId));
    this.search = new Search(chat, this.people, search, {
      open: (peerId, id) => {
        this.open(peerId);
        this.conversation.goTo(id);
      },
      failed,
      isShown: (isShown) => (this.list.element.hidden = isShown),
    });
    this.conversation = new Conversation(chat, this.people, { failed, back: () => this.#toList() });
    this.title = make("h1", { class: "hidden" });
    this.you = make("h2", {});
    this.other = make("a", { class: "open-other", target: "_blank", rel: "noopener", href: addressOf(peer) });
    this.languages = make("select", { onchange: () => this.#choose() }, ...Object.entries(NAMES).map(([value, name]) => make("option", { value, lang: value }, name)));
    const side = make(
      "div",
      { class: "side" },
      make("header", {}, this.you, this.languages),
      this.other,
      this.search.form,
      this.search.results,
      this.list.element,
    );
    this.pick = make("p", { class: "pick" });
    this.element = make("main", { class: "app at-list" }, this.title, side, this.conversation.element, this.pick);
    this.conversation.element.hidden = true;
    chat.on("user", () => this.conversation.localize());
    this.localize();
  }

  /** @param {string} peerId */
  open(peerId) {
    const was = this.list.current;
    this.list.current = peerId;
    this.conversation.element.hidden = false;
    this.pick.hidden = true;
    set(this.element, "class", "app at-conversation");
    this.conversation.open(peerId);
    this.list.show();
    // On a phone the list is gone. Else who came by keyboard goes on there.
    if (was !== peerId || this.#isNarrow()) this.conversation.name.focus({ preventScroll: true });
  }

  #toList() {
    set(this.element, "class", "app at-list");
    this.list.row(this.list.current)?.button.focus({ preventScroll: true });
  }

  #isNarrow() {
    return matchMedia("(width < 45rem)").matches;
  }

  #choose() {
    choose(this.languages.value);
    this.localize();
  }

  localize() {
    say(this.title, t("title"));
    say(this.you, t("you", { name: this.people.own.name }));
    say(this.other, t("openOther", { name: this.people.peer.name }));
    say(this.pick, t("pick"));
    set(this.languages, "aria-label", t("language"));
    this.languages.value = current();
    this.status.show();
    this.search.localize();
    this.list.show();
    if (this.conversation.peerId) this.conversation.localize();
  }
}
