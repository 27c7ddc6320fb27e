/**
 * A list of which only what can be seen is in the document. Heights are measured where an item is shown, and guessed where none
 * was. What is read does not move when something is added above it, and who is at the end stays at the end.
 */

/**
 * @template T
 * @typedef {object} View
 * @property {(item: T) => string} key
 * @property {(item: T, element: HTMLElement | null, index: number, items: T[]) => HTMLElement} render makes one, or brings the given one up to date
 * @property {(at: { start: boolean, end: boolean, bottom: boolean }) => void} moved near which end it is, and whether at the very end
 */

/** Beyond what can be seen, so that it is there before it is. */
const BESIDE = 600;
/** From here on more is asked for. */
const NEAR = 1200;
const GUESS = 72;
/** Heights have fractions. */
const SLACK = 2;

/** @template T */
export class VirtualList {
  /** @type {T[]} */
  #items = [];
  /** @type {Map<string, number>} */
  #heights = new Map();
  /** Where each begins; one more than there are items. @type {number[]} */
  #tops = [0];
  /** @type {Map<string, { element: HTMLElement }>} */
  #shown = new Map();
  #isAtEnd = true;
  /** Room above the first: pixels. */
  head = 0;
  /** Where it was left. */
  #top = 0;
  #due = 0;
  /** @type {string | null} */
  #goal = null;

  /**
   * @param {HTMLElement} scroller
   * @param {HTMLElement} room in it, as high as all items
   * @param {View<T>} view
   */
  constructor(scroller, room, view) {
    this.scroller = scroller;
    this.room = room;
    this.view = view;
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.sizes = new ResizeObserver(() => this.soon());
    this.sizes.observe(scroller);
  }

  get isAtEnd() {
    return this.#isAtEnd;
  }

  /** @param {T[]} items @param {boolean} isWhole nothing comes after them: who is at their end stays there */
  show(items, isWhole) {
    this.#items = items;
    if (!isWhole) this.#isAtEnd = false;
    this.#update();
  }

  /** Another list: nothing of this one is of use. */
  clear() {
    for (const { element } of this.#shown.values()) this.#drop(element);
    this.#shown.clear();
    this.#heights.clear();
    this.#items = [];
    this.#isAtEnd = true;
    this.#top = this.scroller.scrollTop;
    this.#goal = null;
  }

  toEnd() {
    this.#isAtEnd = true;
    this.#top = this.scroller.scrollTop;
    this.#update();
  }

  /** Puts an item into the middle, and gives its element. @param {string} key */
  reveal(key) {
    this.#isAtEnd = false;
    this.#goal = key;
    this.#update();
    return this.#shown.get(key)?.element ?? null;
  }

  /** Elements that may have another height, or texts, now. */
  soon() {
    this.#due ||= requestAnimationFrame(() => this.#update());
  }

  /** All are made again: the language is another. */
  again() {
    for (const [key, { element }] of this.#shown) {
      this.#drop(element);
      this.#shown.delete(key);
    }
    this.#heights.clear();
    this.#update();
  }

  end() {
    this.sizes.disconnect();
    cancelAnimationFrame(this.#due);
  }

  /** The element beside one, which may have to be shown first. @param {HTMLElement} element @param {number} step */
  beside(element, step) {
    const at = this.#items.findIndex((item) => this.#shown.get(this.view.key(item))?.element === element);
    const item = this.#items[at + step];
    if (at < 0 || !item) return null;
    const key = this.view.key(item);
    if (!this.#shown.has(key)) this.reveal(key);
    return this.#shown.get(key)?.element ?? null;
  }

  #scrolled() {
    this.#look();
    this.soon();
  }

  /** Where the reader has gone by now; the event that tells it may be behind what is shown next. */
  #look() {
    const { scrollTop, clientHeight, scrollHeight } = this.scroller;
    if (scrollTop === this.#top) return;
    this.#top = scrollTop;
    this.#isAtEnd = scrollTop + clientHeight >= scrollHeight - SLACK;
  }

  /** Where the reader is: the first item of which something can be seen, and how far it is scrolled. */
  #place() {
    const top = this.scroller.scrollTop - this.#lead;
    const at = this.#at(top);
    const item = this.#before[at];
    return item === undefined ? null : { key: this.view.key(item), into: top - this.#tops[at] };
  }

  /** The items that the tops are of. @type {T[]} */
  #before = [];
  /** A short list is at the bottom. */
  #lead = 0;

  /** The last that begins above. @param {number} top */
  #at(top) {
    let [low, high] = [0, this.#tops.length - 2];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#tops[middle] <= top) low = middle;
      else high = middle - 1;
    }
    return Math.max(0, low);
  }

  #update() {
    cancelAnimationFrame(this.#due);
    this.#due = 0;
    if (this.#isAtEnd) this.#look();
    const place = this.#goal || this.#isAtEnd ? null : this.#place();
    this.#measure();
    this.#layOut();
    this.#restore(place);
    // What is shown for the first time has another height than was guessed.
    for (let round = 0; round < 3; round++) {
      this.#fill();
      if (!this.#measure()) break;
      this.#layOut();
      this.#restore(place);
    }
    this.#arrange();
    this.#goal = null;
    const { scrollTop, clientHeight, scrollHeight } = this.scroller;
    this.view.moved({
      start: scrollTop < NEAR,
      end: scrollTop + clientHeight > scrollHeight - NEAR,
      bottom: this.#isAtEnd,
    });
  }

  /** Gives whether a height is another than was thought. */
  #measure() {
    let isOther = false;
    for (const [key, { element }] of this.#shown) {
      const height = element.getBoundingClientRect().height;
      if (height && this.#heights.get(key) !== height) {
        this.#heights.set(key, height);
        isOther = true;
      }
    }
    return isOther;
  }

  #layOut() {
    this.#before = this.#items;
    this.#tops = [0];
    let top = 0;
    for (const item of this.#items) this.#tops.push((top += this.#heights.get(this.view.key(item)) ?? GUESS));
    // Of what was let go nothing has to be known.
    if (this.#heights.size > 4 * this.#items.length + 100) {
      const keys = new Set(this.#items.map(this.view.key));
      for (const key of this.#heights.keys()) if (!keys.has(key)) this.#heights.delete(key);
    }
    this.#lead = Math.max(this.head, this.scroller.clientHeight - top);
    this.room.style.height = `${top + this.#lead}px`;
  }

  /** @param {{ key: string, into: number } | null} place */
  #restore(place) {
    const { scroller } = this;
    let top = scroller.scrollTop;
    if (this.#goal) {
      const at = this.#items.findIndex((item) => this.view.key(item) === this.#goal);
      if (at >= 0) top = this.#lead + (this.#tops[at] + this.#tops[at + 1] - scroller.clientHeight) / 2;
    } else if (this.#isAtEnd) top = this.#tops[this.#tops.length - 1] + this.#lead - scroller.clientHeight;
    else if (place) {
      const at = this.#items.findIndex((item) => this.view.key(item) === place.key);
      if (at >= 0) top = this.#lead + this.#tops[at] + place.into;
    }
    if (Math.abs(top - scroller.scrollTop) > 0.5) scroller.scrollTop = top;
    this.#top = scroller.scrollTop;
  }

  /** Has what can be seen in the document, in its order, and little else. */
  #fill() {
    const { scroller, view } = this;
    const from = this.#at(scroller.scrollTop - this.#lead - BESIDE);
    const to = this.#at(scroller.scrollTop - this.#lead + scroller.clientHeight + BESIDE);
    const wanted = new Map();
    for (let at = from; at <= to && at < this.#items.length; at++) wanted.set(view.key(this.#items[at]), at);
    // What has the focus stays.
    const at = this.#items.findIndex((item) => this.#shown.get(view.key(item))?.element.contains(document.activeElement));
    if (at >= 0) wanted.set(view.key(this.#items[at]), at);
    for (const [key, { element }] of this.#shown) {
      if (wanted.has(key)) continue;
      this.#drop(element);
      this.#shown.delete(key);
    }
    const inOrder = [...wanted].sort(([, one], [, other]) => one - other);
    /** @type {Element | null} */
    let next = this.room.firstElementChild;
    for (const [key, index] of inOrder) {
      const item = this.#items[index];
      const shown = this.#shown.get(key);
      const element = view.render(item, shown?.element ?? null, index, this.#items);
      if (element !== next) this.room.insertBefore(element, next);
      next = element.nextElementSibling;
      if (!shown) this.sizes.observe(element);
      this.#shown.set(key, { element });
    }
    this.#arrange();
  }

  #arrange() {
    this.#items.forEach((item, index) => {
      const shown = this.#shown.get(this.view.key(item));
      if (shown) shown.element.style.transform = `translateY(${this.#lead + this.#tops[index]}px)`;
    });
  }

  /** @param {HTMLElement} element */
  #drop(element) {
    this.sizes.unobserve(element);
    element.remove();
  }
}
