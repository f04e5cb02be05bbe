/** Reads what ships in assets/gym-cards. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { PNG } from "pngjs";

/** Text of an asset. */
export function readAssetText(name: string): string {
  return readFileSync(assetPath(name), "utf8");
}

/** Pixels of an asset, RGBA row by row. */
export function readAssetImage(name: string): { width: number; height: number; data: Uint8Array } {
  return PNG.sync.read(readFileSync(assetPath(name)));
}

function assetPath(name: string): string {
  // The package resolves itself by name, so this holds for the sources and for the compiled tree.
  const root = dirname(createRequire(import.meta.url).resolve("sightline/package.json"));
  return join(root, "assets", "gym-cards", name);
}
