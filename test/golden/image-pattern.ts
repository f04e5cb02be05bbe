import { createHash } from "node:crypto";
import type { Frame } from "../../envs/env.js";

/** The frame that `make_image_processors.py` resizes and processes. */
export function imagePattern(width: number, height: number): Frame {
  const data = new Uint8Array(width * height * 3);
  for (let i = 0; i < data.length; i++) {
    const c = i % 3;
    const x = Math.floor(i / 3) % width;
    const y = Math.floor(i / 3 / width);
    const edges = (Math.floor(x / 17) + Math.floor(y / 23)) % 2;
    data[i] = (7 * y + 13 * x + 29 * c + 5 * ((x * y) % 11) + 90 * edges) % 256;
  }
  return { width, height, data };
}

/** The first 16 digits of the SHA-256 of an array's bytes, as the script writes it. */
export function sha256(array: NodeJS.ArrayBufferView): string {
  return createHash("sha256").update(array).digest("hex").slice(0, 16);
}
