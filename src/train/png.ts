/** Frames as PNG files. */
import { PNG } from "pngjs";
import type { Frame } from "../../envs/env.js";

/** A frame as an 8-bit RGB PNG. */
export function encodePng({ width, height, data }: Frame): Buffer {
  const png = new PNG({ width, height });
  png.data = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return PNG.sync.write(png, { colorType: 2, inputColorType: 2, inputHasAlpha: false });
}

/**
 * The frame that a PNG of any colour type holds. Transparency is left out, as if every pixel were opaque.
 *
 * @throws Error for bytes that are no PNG
 */
export function decodePng(bytes: Buffer): Frame {
  const { width, height, data: rgba } = PNG.sync.read(bytes);
  const data = new Uint8Array(3 * width * height);
  for (let from = 0, to = 0; to < data.length; from += 4, to += 3) {
    data[to] = rgba[from]!;
    data[to + 1] = rgba[from + 1]!;
    data[to + 2] = rgba[from + 2]!;
  }
  return { width, height, data };
}
