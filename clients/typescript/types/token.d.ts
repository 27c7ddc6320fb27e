import type { Options } from "./types.js";
/** The token of the app, asked for once at a time. */
export declare class Tokens {
    #private;
    /** @param {Options["token"]} source */
    constructor(source: Options["token"]);
    /**
     * The one that is held, or another in place of `refused`. Without one it fails with `invalid_token`.
     *
     * @param {string | null} [refused]
     */
    get(refused?: string | null): Promise<string>;
    forget(): void;
}
