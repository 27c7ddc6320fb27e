/** One user of an outbox at a time, in this process. */

/** @type {Map<unknown, Promise<void>>} */
const queues = new Map();

/**
 * @param {unknown} key
 * @param {AbortSignal} signal
 * @returns {Promise<() => void>} what ends it
 */
export async function queue(key, signal) {
  const before = queues.get(key);
  /** @type {() => void} */
  let release = () => {};
  const mine = new Promise((resolve) => (release = () => resolve(undefined)));
  const tail = Promise.resolve(before).then(() => mine);
  queues.set(key, tail);
  tail.then(() => queues.get(key) === tail && queues.delete(key));
  await new Promise((resolve, reject) => {
    const giveUp = () => {
      // It must not hold up those behind.
      release();
      reject(signal.reason);
    };
    if (signal.aborted) giveUp();
    signal.addEventListener("abort", giveUp, { once: true });
    Promise.resolve(before).then(() => {
      signal.removeEventListener("abort", giveUp);
      resolve(null);
    });
  });
  return release;
}

/**
 * Over all tabs, where the browser has Web Locks: a tab that ends lets go.
 *
 * @param {string} name
 * @param {AbortSignal} signal
 * @returns {Promise<() => void>}
 */
export function lockOf(name, signal) {
  const locks = globalThis.navigator?.locks;
  if (!locks) return queue(name, signal);
  return new Promise((resolve, reject) => {
    locks
      .request(name, { signal }, () => new Promise((release) => resolve(() => release(undefined))))
      .catch(reject);
  });
}
