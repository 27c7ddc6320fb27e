/** Development tools, from this package's `node_modules` or where `tests/run` put them (NODE_PATH, which `import` ignores). */

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(import.meta.url);

/** @param {string} name */
export const found = (name) => require.resolve(name);

/** @param {string} name */
export const load = (name) => import(pathToFileURL(found(name)).href);
