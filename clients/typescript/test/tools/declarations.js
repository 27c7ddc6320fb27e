/** The declarations of the package, out of the sources: `npm pack` has them made. */

import { execFile } from "node:child_process";
import { copyFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { found } from "./packages.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** @param {string} directory */
export async function compiled(directory) {
  const tsc = join(found("typescript"), "../../lib/tsc.js");
  const flags = ["--noEmit", "false", "--declaration", "--emitDeclarationOnly", "--rootDir", join(ROOT, "src"), "--declarationDir", directory];
  try {
    await promisify(execFile)(process.execPath, [tsc, "-p", ROOT, ...flags]);
  } catch (error) {
    throw new Error(error.stdout || error.message);
  }
  await copyFile(join(ROOT, "src/types.d.ts"), join(directory, "types.d.ts"));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const types = join(ROOT, "types");
  await rm(types, { recursive: true, force: true });
  await compiled(types);
}
