import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const require = createRequire(import.meta.url);

/** Path of a file of this package, whether it runs from its sources or from what they compile to. */
export function packagePath(...names: string[]): string {
  return join(dirname(require.resolve("sightline/package.json")), ...names);
}

/** Path of a file of a package that this one depends on. */
export function dependencyPath(file: string): string {
  return require.resolve(file);
}
