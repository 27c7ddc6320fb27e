/**
 * Tokens of the demo's users, for the key in the fragment of the page's address: `#key=…&user=bob`. Browsers send a fragment to
 * nobody; the key goes to the server in a header.
 */

/** @typedef {{ id: string, word: string, name: string }} Person */
/** `search`: the server has one. @typedef {{ token: string, user: Person, peer: Person, search: boolean }} Access */

/** To ask again is of no use: what to say of it. @typedef {"noKey" | "wrongKey" | "noUser" | "refused"} Reason */

export class NoAccess extends Error {
  /** @param {Reason} reason */
  constructor(reason) {
    super(reason);
    this.reason = reason;
  }
}

/** `wrongKey`: the server has started anew. `refused`: by what is before it. @type {Record<number, Reason>} */
const REASONS = { 401: "refused", 403: "wrongKey", 404: "noUser" };

const fragment = () => new URLSearchParams(location.hash.slice(1));

/** Fails with NoAccess, or as `fetch` does. @returns {Promise<Access>} */
export async function access() {
  const key = fragment().get("key") ?? "";
  const word = fragment().get("user") ?? "alice";
  if (!key) throw new NoAccess("noKey");
  const answer = await fetch(`token/${encodeURIComponent(word)}`, { method: "POST", headers: { "Demo-Key": key } });
  const reason = REASONS[answer.status];
  if (reason) throw new NoAccess(reason);
  if (!answer.ok) throw new Error(`${answer.status}`);
  return answer.json();
}

/** The page of the other user. @param {Person} peer */
export function addressOf(peer) {
  const said = fragment();
  said.set("user", peer.word);
  return `${location.pathname}#${said}`;
}
