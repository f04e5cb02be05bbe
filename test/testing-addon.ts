import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const projectRoot = path.resolve(import.meta.dirname, "..");

/** File of the test-only native module: `SIGHTLINE_TESTING_ADDON`, else the one in the build tree. */
export const testingAddonFile =
  process.env.SIGHTLINE_TESTING_ADDON ?? path.join(projectRoot, "build", "testing", "sightline_testing.node");

/**
 * Loads the test-only native module, which exposes single ops and file readers.
 *
 * @typeParam Exports the functions that the caller uses of it
 */
export function loadTestingAddon<Exports>(): Exports {
  if (!existsSync(testingAddonFile)) {
    throw new Error(`${testingAddonFile} does not exist; build it with: node scripts/build-test-addon.mjs`);
  }
  return createRequire(import.meta.url)(testingAddonFile) as Exports;
}
