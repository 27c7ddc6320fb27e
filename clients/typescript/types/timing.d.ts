/** @import { Timing } from "./types.js" */
import type { Timing } from "./types.js";
/** @type {Timing} */
export declare const TIMING: Timing;
