import { z } from "zod";
import type { Frame } from "../../envs/env.js";
import type { PixelValues } from "../native/types.js";

/** How a frame becomes pixel values: grey or not, resize, rescale, normalise, in this order. */
export interface ImageProcessorSettings {
  /** Height and width of the result, in pixels. */
  readonly size: number;
  /** 1 takes the frame's luminance, 3 its red, green and blue. */
  readonly channels: 1 | 3;
  /** Factor on the 8-bit samples. */
  readonly rescale: number;
  /** (channels) subtracted after rescaling. */
  readonly mean: readonly number[];
  /** (channels) divided by after that, not 0. */
  readonly std: readonly number[];
}

/** Pillow's number of its BOX filter, as `preprocessor_config.json` writes it. */
const PILLOW_BOX = 4;

const perChannel = z.array(z.number()).min(1);

/** Reads `preprocessor_config.json`. */
export const imageProcessorConfig = z
  .strictObject({
    image_processor_type: z.string().optional(),
    do_grayscale: z.boolean(),
    do_resize: z.literal(true),
    size: z.strictObject({ height: z.int().positive(), width: z.int().positive() }),
    resample: z.literal(PILLOW_BOX),
    do_rescale: z.literal(true),
    rescale_factor: z.number().positive(),
    do_normalize: z.literal(true),
    image_mean: perChannel,
    image_std: perChannel.refine((std) => !std.includes(0), "expected no deviation to be 0"),
  })
  .superRefine((config, context) => {
    const problem = (path: string, message: string) =>
      context.addIssue({ code: "custom", path: [path], message });
    const channels = config.do_grayscale ? 1 : 3;
    const { height, width } = config.size;
    if (height !== width) problem("size", `expected a square, received ${height} x ${width}`);
    for (const key of ["image_mean", "image_std"] as const) {
      if (config[key].length !== channels) {
        problem(key, `expected ${channels} number(s), one per channel, received ${config[key].length}`);
      }
    }
  })
  .transform(
    (config): ImageProcessorSettings => ({
      size: config.size.height,
      channels: config.do_grayscale ? 1 : 3,
      rescale: config.rescale_factor,
      mean: config.image_mean,
      std: config.image_std,
    }),
  );

/** A frame whose data do not fit its size. */
export class FrameError extends Error {
  readonly code = "INVALID_FRAME";

  constructor(message: string) {
    super(message);
    this.name = "FrameError";
  }
}

/**
 * Frames to pixel values, with Pillow's arithmetic to the bit: luminance as `convert("L")`, then
 * `resize(size, BOX)` on 8-bit samples, then in float32 (p * rescale - mean) / std from a table of 256 values.
 */
export class ImageProcessor {
  readonly settings: ImageProcessorSettings;
  /** Per channel, the pixel value of each sample. */
  readonly #values: readonly Float32Array[];
  readonly #windows = new Map<number, BoxWindows>();

  constructor(settings: ImageProcessorSettings) {
    this.settings = settings;
    this.#values = settings.mean.map((mean, channel) =>
      Float32Array.from({ length: 256 }, (_, sample) => {
        const rescaled = Math.fround(sample * settings.rescale);
        const centred = Math.fround(rescaled - Math.fround(mean));
        // Adding zero turns -0, which a negative deviation makes of 0, into 0.
        return centred / Math.fround(settings.std[channel]!) + 0;
      }),
    );
  }

  /**
   * @returns (channels, size, size), row-major, owned by the caller
   * @throws FrameError where `frame.data` does not hold width * height * 3 bytes
   */
  process(frame: Frame): PixelValues {
    const { width, height, data } = frame;
    if (!(width > 0 && height > 0) || data.length !== width * height * 3) {
      throw new FrameError(
        `frame: expected width * height * 3 bytes with both sides > 0, ` +
          `received ${data.length} bytes for ${width} x ${height}`,
      );
    }
    const { size, channels } = this.settings;
    const pixels = new Float32Array(channels * size * size);
    for (let channel = 0; channel < channels; channel++) {
      const plane = channels === 1 ? luminance(data) : everyThird(data, channel);
      const narrowed = resizeRows(plane, width, height, this.#windowsFor(width));
      const samples = resizeColumns(narrowed, size, this.#windowsFor(height));
      const values = this.#values[channel]!;
      const offset = channel * size * size;
      for (let i = 0; i < samples.length; i++) pixels[offset + i] = values[samples[i]!]!;
    }
    return pixels;
  }

  #windowsFor(inputSize: number): BoxWindows {
    let windows = this.#windows.get(inputSize);
    if (windows === undefined) {
      windows = boxWindows(inputSize, this.settings.size);
      this.#windows.set(inputSize, windows);
    }
    return windows;
  }
}

/** ITU-R 601-2 luma with 16 fractional bits, rounded to nearest: 0.299 R + 0.587 G + 0.114 B. */
function luminance(rgb: Uint8Array): Uint8Array {
  const grey = new Uint8Array(rgb.length / 3);
  for (let i = 0, j = 0; i < grey.length; i++, j += 3) {
    grey[i] = (19595 * rgb[j]! + 38470 * rgb[j + 1]! + 7471 * rgb[j + 2]! + 0x8000) >> 16;
  }
  return grey;
}

function everyThird(rgb: Uint8Array, first: number): Uint8Array {
  const plane = new Uint8Array(rgb.length / 3);
  for (let i = 0, j = first; i < plane.length; i++, j += 3) plane[i] = rgb[j]!;
  return plane;
}

/** Fractional bits of the resize weights: 8 bits of sample, 2 of headroom, in 32. */
const WEIGHT_BITS = 22;
const ONE_HALF = 1 << (WEIGHT_BITS - 1);

/**
 * For each output sample the input samples it averages. The box filter weighs all of them alike, so one
 * weight per output does; weights are not negative and add up to one, so no result needs clipping.
 */
interface BoxWindows {
  /** (size) first input sample. */
  readonly starts: Int32Array;
  /** (size) end of the window, exclusive. */
  readonly ends: Int32Array;
  /** (size) weight of each sample in the window, with `WEIGHT_BITS` fractional bits. */
  readonly weights: Int32Array;
}

/**
 * Pillow's windows for resizing `inputSize` samples to `size` with the BOX filter (Pillow, Resample.c):
 * with s = inputSize / size and center c = (i + 1/2) s, the samples j whose distance (j + 1/2 - c) / max(s, 1)
 * is in (-1/2, 1/2].
 */
function boxWindows(inputSize: number, size: number): BoxWindows {
  const scale = inputSize / size;
  const width = Math.max(scale, 1);
  const starts = new Int32Array(size);
  const ends = new Int32Array(size);
  const weights = new Int32Array(size);
  for (let i = 0; i < size; i++) {
    const center = (i + 0.5) * scale;
    const isInside = (j: number) => {
      const distance = (j - center + 0.5) * (1 / width);
      return distance > -0.5 && distance <= 0.5;
    };
    let start = Math.max(Math.trunc(center - width / 2 + 0.5), 0);
    let end = Math.min(Math.trunc(center + width / 2 + 0.5), inputSize);
    while (!isInside(start)) start++;
    while (!isInside(end - 1)) end--;
    starts[i] = start;
    ends[i] = end;
    weights[i] = Math.trunc((1 / (end - start)) * (1 << WEIGHT_BITS) + 0.5);
  }
  return { starts, ends, weights };
}

/** (height, width) -> (height, size). */
function resizeRows(plane: Uint8Array, width: number, height: number, windows: BoxWindows): Uint8Array {
  const { starts, ends, weights } = windows;
  const size = starts.length;
  const narrowed = new Uint8Array(height * size);
  for (let y = 0; y < height; y++) {
    const row = y * width;
    for (let x = 0; x < size; x++) {
      const end = row + ends[x]!;
      let sum = 0;
      for (let j = row + starts[x]!; j < end; j++) sum += plane[j]!;
      narrowed[y * size + x] = (sum * weights[x]! + ONE_HALF) >> WEIGHT_BITS;
    }
  }
  return narrowed;
}

/** (height, size) -> (size, size). */
function resizeColumns(plane: Uint8Array, size: number, windows: BoxWindows): Uint8Array {
  const { starts, ends, weights } = windows;
  const samples = new Uint8Array(size * size);
  for (let y = 0; y < size; y++) {
    const start = starts[y]! * size;
    const end = ends[y]! * size;
    for (let x = 0; x < size; x++) {
      let sum = 0;
      for (let j = start + x; j < end; j += size) sum += plane[j]!;
      samples[y * size + x] = (sum * weights[y]! + ONE_HALF) >> WEIGHT_BITS;
    }
  }
  return samples;
}
