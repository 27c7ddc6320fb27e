/** What the platform tells by itself, in browsers. */

/**
 * @param {(newNetwork: boolean) => void} wake
 * @returns {() => void} ends it
 */
export function watchPlatform(wake) {
  const { document, addEventListener, removeEventListener } = globalThis;
  if (!document || !addEventListener) return () => {};
  const shown = () => void (document.visibilityState === "visible" && wake(false));
  const online = () => wake(true);
  document.addEventListener("visibilitychange", shown);
  addEventListener("online", online);
  return () => {
    document.removeEventListener("visibilitychange", shown);
    removeEventListener("online", online);
  };
}

/** A UUID, also where the page is no secure context. */
export function randomUuid() {
  const { crypto } = globalThis;
  if (crypto?.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 15) | 64;
  bytes[8] = (bytes[8] & 63) | 128;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
