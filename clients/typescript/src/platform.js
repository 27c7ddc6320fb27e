/** What the platform tells by itself, in browsers, and what it is to give. */

/**
 * @param {() => void} wake
 * @returns {() => void} ends it
 */
export function watchPlatform(wake) {
  const { document } = globalThis;
  const end = new AbortController();
  const { signal } = end;
  document?.addEventListener("visibilitychange", () => document.hidden || wake(), { signal });
  if (document) addEventListener("online", wake, { signal });
  return () => end.abort();
}

/** A UUID, also where the page is no secure context. */
export const randomUuid = () =>
  globalThis.crypto.randomUUID?.() ??
  "10000000-1000-4000-8000-100000000000".replace(/[018]/g, (digit) =>
    (+digit ^ (crypto.getRandomValues(new Uint8Array(1))[0] & (15 >> (+digit / 4)))).toString(16),
  );
