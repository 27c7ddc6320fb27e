/** Where to connect, and as whom: by a ticket, or by a token that is replaced where it was refused. */
import type { ClientFrame, Options } from "./types.js";
import type { Rest } from "./rest.js";
export declare class Handshake {
    #private;
    options: Options;
    rest: Rest;
    /**
     * @param {Options} options
     * @param {Rest} rest
     */
    constructor(options: Options, rest: Rest);
    /** The server did not take it. */
    refused(): void;
    /** Fails with `invalid_token` where there is no other token. @param {string | null} after */
    target(after: string | null): Promise<{
        url: string;
        protocols: string[] | undefined;
    }>;
    /**
     * Puts another token under an open socket, before its own ends.
     *
     * @param {(frame: ClientFrame) => Promise<unknown>} call
     */
    renew(call: (frame: ClientFrame) => Promise<unknown>): Promise<void>;
}
