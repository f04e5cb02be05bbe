/** Frames as PNG files. */
import { PNG } from "pngjs";
import type { Frame } from "../../envs/env.js";

/** A frame as an 8-bit RGB PNG. */
export function encodePng({ width, height, data }: Frame): Buffer {
  const png = new PNG({ width, height });
  png.data = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return PNG.sync.write(png, { colorType: 2, inputColorType: 2, inputHasAlpha: false });
}
