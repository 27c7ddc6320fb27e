/** A menu of what can be done with a message, beside its button. */

import { make } from "./element.js";

/** @typedef {{ text: string, act: () => unknown }} Action */

export class Menu {
  /** @type {HTMLElement | null} */
  #button = null;
  #list = make("div", { class: "menu", role: "menu", popover: "auto" });

  constructor() {
    this.#list.addEventListener("keydown", (event) => this.#key(event));
    this.#list.addEventListener("toggle", (event) => {
      if (/** @type {ToggleEvent} */ (event).newState === "closed") this.#closed();
    });
  }

  get element() {
    return this.#list;
  }

  /** @param {HTMLElement} button @param {Action[]} actions */
  open(button, actions) {
    this.#button = button;
    const items = actions.map(({ text, act }) =>
      make("button", { type: "button", role: "menuitem", tabindex: -1, onclick: () => (this.close(), act()) }, text),
    );
    this.#list.replaceChildren(...items);
    this.#list.setAttribute("aria-label", button.getAttribute("aria-label") ?? "");
    this.#list.showPopover();
    this.#place(button);
    button.setAttribute("aria-expanded", "true");
    items[0]?.focus({ preventScroll: true });
  }

  close() {
    if (this.#list.matches(":popover-open")) this.#list.hidePopover();
  }

  /** Below the button if there is room, and within the window. @param {HTMLElement} button */
  #place(button) {
    const at = button.getBoundingClientRect();
    const { width, height } = this.#list.getBoundingClientRect();
    const top = at.bottom + height > innerHeight ? at.top - height : at.bottom;
    const start = document.dir === "rtl" ? at.left : at.right - width;
    this.#list.style.top = `${Math.max(8, top)}px`;
    this.#list.style.left = `${Math.min(Math.max(8, start), innerWidth - width - 8)}px`;
  }

  #closed() {
    this.#button?.setAttribute("aria-expanded", "false");
    const isInside = this.#list.contains(document.activeElement) || document.activeElement === document.body;
    if (isInside) this.#button?.focus({ preventScroll: true });
    this.#button = null;
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const items = /** @type {HTMLElement[]} */ ([...this.#list.children]);
    const at = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    /** @type {Record<string, number>} */
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 };
    if (event.key === "Tab") this.close();
    if (!(event.key in to)) return;
    event.preventDefault();
    items.at(to[event.key] % items.length)?.focus();
  }
}
