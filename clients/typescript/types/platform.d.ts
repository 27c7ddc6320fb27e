/** What the platform tells by itself, in browsers. */
/**
 * @param {(newNetwork: boolean) => void} wake
 * @returns {() => void} ends it
 */
export declare function watchPlatform(wake: (newNetwork: boolean) => void): () => void;
/** A UUID, also where the page is no secure context. */
export declare function randomUuid(): string;
