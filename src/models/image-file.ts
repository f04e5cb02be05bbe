import { readFile } from "node:fs/promises";
import { PNG } from "pngjs";
import type { Frame } from "../../envs/env.js";
import { maxImageSide } from "../native/images.js";

export type ImageFileErrorCode = "FILE_MISSING" | "FILE_INVALID" | "FORMAT_UNSUPPORTED";

/** An image file that cannot be used; the message names the file and what was expected of it. */
export class ImageFileError extends Error {
  constructor(
    readonly code: ImageFileErrorCode,
    readonly path: string,
    /** What was expected of the file, and what was found. */
    readonly problem: string,
    options?: ErrorOptions,
  ) {
    super(`${path}: ${problem}`, options);
    this.name = "ImageFileError";
  }
}

/**
 * Reads a PNG file as a frame. Transparent pixels are laid over white, equal to the bit to what the processors of Hugging Face
 * Transformers do; greys and palettes become RGB.
 *
 * @throws ImageFileError FILE_MISSING, FILE_INVALID; FORMAT_UNSUPPORTED for another format, 16-bit samples, or a side longer
 *   than `maxImageSide`
 */
export async function readImageFile(path: string): Promise<Frame> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw new ImageFileError("FILE_MISSING", path, "expected a readable PNG file", { cause });
  });
  requireReadable(path, bytes);
  let png: PNG;
  try {
    png = PNG.sync.read(bytes);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ImageFileError("FILE_INVALID", path, `expected a complete PNG file (${reason})`, { cause });
  }
  return { width: png.width, height: png.height, data: overWhite(png.data) };
}

const signature = Buffer.from("\x89PNG\r\n\x1a\n", "latin1");

/** Checks what the header says before anything is unpacked. */
function requireReadable(path: string, bytes: Buffer): void {
  const unsupported = (problem: string) => new ImageFileError("FORMAT_UNSUPPORTED", path, problem);
  if (!bytes.subarray(0, signature.length).equals(signature)) {
    throw unsupported("expected a PNG file, received other contents; convert the image to PNG");
  }
  const headerEnd = 33;
  const hasHeader = bytes.length >= headerEnd && bytes.toString("latin1", 12, 16) === "IHDR";
  const width = hasHeader ? bytes.readUInt32BE(16) : 0;
  const height = hasHeader ? bytes.readUInt32BE(20) : 0;
  if (width === 0 || height === 0) {
    throw new ImageFileError(
      "FILE_INVALID",
      path,
      "expected a PNG file that begins with its width and height",
    );
  }
  const bits = bytes[24]!;
  if (Math.max(width, height) > maxImageSide) {
    throw unsupported(
      `expected sides of at most ${maxImageSide} pixels, received ${width} x ${height}; make the image smaller`,
    );
  }
  if (bits > 8) {
    throw unsupported(`expected at most 8 bits per sample, received ${bits}; convert the image to 8 bits`);
  }
}

/** RGBA to RGB: alpha c + (1 - alpha) 255 with alpha in 255ths, rounded to nearest. */
function overWhite(rgba: Uint8Array): Uint8Array {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let i = 0, j = 0; j < rgb.length; i += 4, j += 3) {
    const alpha = rgba[i + 3]!;
    const white = 255 * (255 - alpha);
    for (let c = 0; c < 3; c++) rgb[j + c] = Math.round((rgba[i + c]! * alpha + white) / 255);
  }
  return rgb;
}
