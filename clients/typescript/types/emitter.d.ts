/** @import { AnyEvent, Events } from "./types.js" */
import type { AnyEvent, Events } from "./types.js";
export declare class Emitter {
    #private;
    /**
     * @template {keyof Events} K
     * @param {K} type
     * @param {(event: Events[K]) => void} listener
     * @returns {() => void} takes it away
     */
    on<K extends keyof Events>(type: K, listener: (event: Events[K]) => void): () => void;
    /**
     * What a listener throws is the app's: it is reported as what nobody caught, and changes nothing here.
     *
     * @template {keyof Events} K
     * @param {K} type
     * @param {Events[K]} event
     */
    emit<K extends keyof Events>(type: K, event: Events[K]): void;
    /** Whether anybody would be told. @param {keyof Events} type */
    listened(type: keyof Events): boolean;
    /** Ends the iterators. */
    end(): void;
    /**
     * All events from now on, until the client is closed. Who reads too slowly finds an `overflow` in place of what was dropped.
     *
     * @returns {AsyncIterableIterator<AnyEvent>}
     */
    events(): AsyncIterableIterator<AnyEvent>;
}
