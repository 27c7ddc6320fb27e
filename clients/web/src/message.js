/** One message as it is shown. */

/** @import { ShownMessage, ShownThread } from "../../typescript/src/types.js" */
/** @import { Shape } from "./element.js" */
/** @import { Key } from "./strings.js" */
import { icon, make, set } from "./element.js";
import { clock, day, t } from "./language.js";

/**
 * @typedef {object} Place
 * @property {ShownThread | null} thread
 * @property {string} peerId
 * @property {string} peerName
 * @property {string} ownName
 * @property {ShownMessage | null} previous
 * @property {(message: ShownMessage) => Element} attachment
 * @property {(message: ShownMessage, button: HTMLElement) => void} onMenu
 */

/** How far a message of one's own has come. @param {ShownMessage} message @param {ShownThread | null} thread @returns {Key & Shape | "seen"} */
export function progress({ status, id }, thread) {
  if (status !== "sent") return status;
  if (id <= (thread?.peer_seen_id ?? 0)) return "seen";
  return id <= (thread?.peer_delivered_id ?? 0) ? "delivered" : "sent";
}

/** What of a message is read out, or stands in a list. @param {ShownMessage | import("../../typescript/src/types.js").Message} message */
export function textOf({ deleted, message, attachment }) {
  if (deleted) return t("deleted");
  return message || attachment?.name || "";
}

/** What stands in an element: what would look the same is not made again. @type {WeakMap<Element, { message: ShownMessage, state: string }>} */
const painted = new WeakMap();

/**
 * Makes an article, or brings one up to date.
 *
 * @param {ShownMessage} message
 * @param {HTMLElement | null} element
 * @param {Place} place
 */
export function article(message, element, place) {
  const isOwn = message.sender_id !== place.peerId;
  const made = Date.parse(message.created);
  const before = place.previous && Date.parse(place.previous.created);
  const isNewDay = before === null || day(before) !== day(made);
  const came = isOwn && !message.deleted ? progress(message, place.thread) : null;
  const state = JSON.stringify([message.rev, message.id, message.message, message.deleted, message.attachment?.url, message.error, came, isNewDay]);
  element ??= empty(place);
  const was = painted.get(element);
  painted.set(element, { message, state });
  if (was?.state === state) return element;

  const name = isOwn ? place.ownName : place.peerName;
  const text = textOf(message);
  // It stays, with the focus and the menu that it may have.
  const menu = /** @type {HTMLElement} */ (element.lastElementChild);
  const hadFocus = element !== document.activeElement && menu !== document.activeElement && element.contains(document.activeElement);
  // A picture is not loaded again for a tick.
  const isKept = was?.message.status === message.status && was.message.attachment?.url === message.attachment?.url;
  const attached = (isKept && element.querySelector(".attached")) || (message.attachment && place.attachment(message));
  while (element.firstElementChild !== menu) element.firstElementChild?.remove();
  if (isNewDay) menu.before(make("p", { class: "day" }, make("time", { datetime: message.created }, day(made))));
  menu.before(bubble(message, name, made, came, message.deleted ? null : attached));
  set(menu, "aria-label", t("actions", { text: text.slice(0, 60) }));
  set(element, "class", ["message", isOwn ? "own" : "peers", message.deleted && "deleted", came === "failed" && "failed"].filter(Boolean).join(" "));
  set(element, "aria-label", t("by", { name, text }));
  if (hadFocus) element.focus({ preventScroll: true });
  return element;
}

/** @param {Place} place */
function empty(place) {
  const menu = make("button", { class: "more", type: "button", "aria-haspopup": "menu", "aria-expanded": "false" }, icon("more"));
  const element = make("article", { tabindex: -1 }, menu);
  menu.addEventListener("click", () => {
    const shown = painted.get(element);
    if (shown) place.onMenu(shown.message, menu);
  });
  return element;
}

/**
 * @param {ShownMessage} message
 * @param {string} name
 * @param {number} made
 * @param {ReturnType<typeof progress> | null} came
 * @param {Element | null} attached
 */
function bubble(message, name, made, came, attached) {
  const { deleted } = message;
  const isEdited = !deleted && message.status === "sent" && message.updated !== message.created;
  return make(
    "div",
    { class: "bubble" },
    make("span", { class: "hidden author" }, name),
    attached,
    message.message || deleted ? make("p", { class: "text", dir: "auto" }, textOf(message)) : null,
    make(
      "p",
      { class: "about" },
      isEdited ? make("span", {}, t("edited"), " ") : null,
      make("time", { datetime: message.created }, clock(made)),
      came && tick(came),
    ),
  );
}

/** @param {ReturnType<typeof progress>} came */
function tick(came) {
  const shape = came === "seen" ? "delivered" : came;
  return make("span", { class: `tick ${came}` }, icon(shape), make("span", { class: "hidden" }, t(came)));
}

