/** What the platform tells by itself, in browsers, and what it is to give. */
/**
 * @param {() => void} wake
 * @returns {() => void} ends it
 */
export declare function watchPlatform(wake: () => void): () => void;
/** A UUID, also where the page is no secure context. */
export declare const randomUuid: () => `${string}-${string}-${string}-${string}-${string}`;
