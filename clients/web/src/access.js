/**
 * Tokens of the demo's users, for the key in the fragment of the page's address: `#key=…&user=bob`. Browsers send a fragment to
 * nobody; the key goes to the server in a header.
 */

/** @typedef {{ id: string, word: string, name: string }} Person */
/** `search`: the server has one. @typedef {{ token: string, user: Person, peer: Person, search: boolean }} Access */

/** The key is missing, or is not that of the server as it runs now. */
export class NoKey extends Error {
  /** @param {boolean} wasShown */
  constructor(wasShown) {
    super("no key");
    this.wasShown = wasShown;
  }
}

const fragment = () => new URLSearchParams(location.hash.slice(1));

/** Fails with NoKey, or as `fetch` does. @returns {Promise<Access>} */
export async function access() {
  const key = fragment().get("key") ?? "";
  const word = fragment().get("user") ?? "alice";
  if (!key) throw new NoKey(false);
  const answer = await fetch(`token/${encodeURIComponent(word)}`, { method: "POST", headers: { "Demo-Key": key } });
  if (answer.status === 403 || answer.status === 404) throw new NoKey(true);
  if (!answer.ok) throw new Error(`${answer.status}`);
  return answer.json();
}

/** The page of the other user. @param {Person} peer */
export function addressOf(peer) {
  const said = fragment();
  said.set("user", peer.word);
  return `${location.pathname}#${said}`;
}
