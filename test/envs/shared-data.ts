import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const SHARED = fileURLToPath(new URL("../../../shared/data/", import.meta.url));

/**
 * A folder of reference data that lies beside the project and is too large to ship; undefined where it is
 * absent.
 */
export function sharedData(name: string): string | undefined {
  const folder = join(SHARED, name);
  return existsSync(folder) ? folder : undefined;
}
