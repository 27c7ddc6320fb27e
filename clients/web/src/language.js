/** The language of the page, and how it writes times and numbers. */

/** @import { Key, Language } from "./strings.js" */
import { LANGUAGES, RIGHT_TO_LEFT } from "./strings.js";

const KEPT = "netrox-demo-language";

/** @param {string | null | undefined} name @returns {name is Language} */
const isLanguage = (name) => !!name && Object.hasOwn(LANGUAGES, name);

/** The one that was chosen, else the first of the browser's that there is. @returns {Language} */
function preferred() {
  const kept = localStorage.getItem(KEPT);
  const names = [kept, ...navigator.languages.map((name) => name.split("-")[0])];
  return names.find(isLanguage) ?? "en";
}

/** @type {Language} */
let language = preferred();

export const current = () => language;

/** @param {string} name */
export function choose(name) {
  if (!isLanguage(name)) return;
  language = name;
  localStorage.setItem(KEPT, name);
  apply();
}

/** Tells the browser and screen readers. */
export function apply() {
  document.documentElement.lang = language;
  document.documentElement.dir = RIGHT_TO_LEFT.includes(language) ? "rtl" : "ltr";
}

/** @param {string} text @param {Record<string, string | number>} values */
const filled = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));

/**
 * @param {Key} key
 * @param {Record<string, string | number>} [values]
 */
export const t = (key, values = {}) => filled(LANGUAGES[language][key], values);

/** @param {number} count */
export function unread(count) {
  const form = new Intl.PluralRules(language).select(count) === "one" ? "one" : "other";
  return filled(LANGUAGES[language].unread[form], { count: number(count) });
}

/** 1000 stands for more, too. @param {number} count */
export const number = (count) => new Intl.NumberFormat(language).format(count) + (count >= 1000 ? "+" : "");

/** @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();

/** @param {string} name @param {Intl.DateTimeFormatOptions} options @param {number} time */
function format(name, options, time) {
  const key = language + name;
  const known = formats.get(key) ?? new Intl.DateTimeFormat(language, options);
  formats.set(key, known);
  return known.format(time);
}

/** @param {number} time milliseconds since 1970 */
export const clock = (time) => format("clock", { hour: "2-digit", minute: "2-digit" }, time);

/** @param {number} time */
export const day = (time) => format("day", { weekday: "long", day: "numeric", month: "long", year: "numeric" }, time);

/** Of the last day its time, else its date. @param {number} time @param {number} now */
export const when = (time, now) => (now - time < 20 * 3600_000 ? clock(time) : format("short", { dateStyle: "short" }, time));
