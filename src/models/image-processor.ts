import type { Frame } from "../../envs/env.js";
import { maxImageSide } from "../native/images.js";
import type { ByteImage, ImageSize, PixelValues } from "../native/types.js";
import type { ImageProcessorSpec, SmartResizePolicy } from "./image-processor-spec.js";
import { FrameError, type ImageArrangement, type View, viewsOf } from "./image-views.js";

/** A frame as the vision encoder takes it, with what a model family needs to place its features. */
export interface ProcessedImage {
  /**
   * (views, channels, height, width), row-major; for the arrangement `patches` (patches, channels * T * P * P), the rows
   * grouped by the merged token that they belong to, with T the temporal and P the spatial patch size.
   */
  readonly pixels: PixelValues;
  readonly shape: readonly number[];
  /** Of each view. */
  readonly viewSize: ImageSize;
  /** Of the frame (`image_sizes`). */
  readonly originalSize: ImageSize;
  readonly arrangement: ImageArrangement;
}

/** Pixel values by sample, one table per channel. */
type SampleTables = readonly Float32Array[];

/**
 * Frames to pixel values, equal to the bit to what the processors of Hugging Face Transformers compute with Pillow and
 * NumPy: views resized as 8-bit samples, then rescaled in float64 and rounded to float32, then (x - mean) / std in float32.
 */
export class ImageProcessor {
  readonly spec: ImageProcessorSpec;
  readonly #tables: SampleTables;

  constructor(spec: ImageProcessorSpec) {
    this.spec = spec;
    this.#tables = spec.mean.map((mean, channel) =>
      Float32Array.from({ length: 256 }, (_, sample) => {
        const rescaled = Math.fround(sample * spec.rescale);
        const centred = Math.fround(rescaled - Math.fround(mean));
        // Adding zero turns -0, which a negative deviation makes of 0, into 0.
        return centred / Math.fround(spec.std[channel]!) + 0;
      }),
    );
  }

  /**
   * @returns an image of its own for each frame
   * @throws FrameError where `frame.data` does not hold width * height * 3 bytes, or its aspect ratio is beyond the policy's
   */
  process(frame: Frame): ProcessedImage {
    const image = this.#toImage(frame);
    const { views, size, arrangement } = viewsOf(image, this.spec);
    const { views: policy } = this.spec;
    const { pixels, shape } =
      policy.kind === "smart_resize"
        ? patchPixels(views[0]!.image, policy, this.#tables)
        : viewPixels(views, size, this.#tables);
    const originalSize = { width: frame.width, height: frame.height };
    return { pixels, shape, viewSize: size, originalSize, arrangement };
  }

  #toImage({ width, height, data }: Frame): ByteImage {
    const isSide = (side: number) => Number.isInteger(side) && side >= 1 && side <= maxImageSide;
    if (!isSide(width) || !isSide(height) || data.length !== width * height * 3) {
      throw new FrameError(
        `frame: expected width * height * 3 bytes with both sides in [1, ${maxImageSide}], ` +
          `received ${data.length} bytes for ${width} x ${height}`,
      );
    }
    return this.spec.channels === 3
      ? { width, height, channels: 3, data }
      : { width, height, channels: 1, data: luminance(data) };
  }
}

/** ITU-R 601-2 luma as Pillow's `convert("L")`: 0.299 R + 0.587 G + 0.114 B, 16 fractional bits, rounded to nearest. */
function luminance(rgb: Uint8Array): Uint8Array {
  const grey = new Uint8Array(rgb.length / 3);
  for (let i = 0, j = 0; i < grey.length; i++, j += 3) {
    grey[i] = (19595 * rgb[j]! + 38470 * rgb[j + 1]! + 7471 * rgb[j + 2]! + 0x8000) >> 16;
  }
  return grey;
}

/** Writes pixels [begin, end) from every `step`th sample from `first` on. */
function lookUp(
  table: Float32Array,
  samples: Uint8Array,
  first: number,
  step: number,
  pixels: Float32Array,
  begin: number,
  end: number,
): void {
  for (let i = begin, sample = first; i < end; i++, sample += step) pixels[i] = table[samples[sample]!]!;
}

/** (views, channels, height, width) */
function viewPixels(views: readonly View[], { width, height }: ImageSize, tables: SampleTables) {
  const shape = [views.length, tables.length, height, width];
  const pixels = new Float32Array(views.length * tables.length * height * width);
  let plane = 0;
  for (const { image, top, left } of views) {
    const { data, channels } = image;
    const firstRow = Math.max(-top, 0);
    const endRow = Math.min(image.height - top, height);
    const firstColumn = Math.max(-left, 0);
    const endColumn = Math.min(image.width - left, width);
    const isCovered = firstRow === 0 && firstColumn === 0 && endRow === height && endColumn === width;
    tables.forEach((table, channel) => {
      if (!isCovered) pixels.fill(table[0]!, plane, plane + height * width);
      for (let y = firstRow; y < endRow; y++) {
        const row = plane + y * width;
        const sample = ((top + y) * image.width + left + firstColumn) * channels + channel;
        lookUp(table, data, sample, channels, pixels, row + firstColumn, row + endColumn);
      }
      plane += height * width;
    });
  }
  return { pixels, shape };
}

/**
 * (rows * columns, channels * T * P * P). Patches lie in the order (row / M, column / M, row % M, column % M) with M the merge
 * size, so that those of one merged token follow each other; a patch's values in the order (channel, T, y, x).
 */
function patchPixels(image: ByteImage, policy: SmartResizePolicy, tables: SampleTables) {
  const { patchSize, mergeSize, temporalPatchSize } = policy;
  const { width, height, channels, data } = image;
  const rows = height / patchSize;
  const columns = width / patchSize;
  const patchArea = patchSize * patchSize;
  const patchLength = channels * temporalPatchSize * patchArea;
  const pixels = new Float32Array(rows * columns * patchLength);
  let target = 0;
  const writePatch = (row: number, column: number) => {
    for (let channel = 0; channel < channels; channel++) {
      const table = tables[channel]!;
      const first = target;
      for (let y = 0; y < patchSize; y++) {
        const sample = ((row * patchSize + y) * width + column * patchSize) * channels + channel;
        lookUp(table, data, sample, channels, pixels, target, target + patchSize);
        target += patchSize;
      }
      for (let t = 1; t < temporalPatchSize; t++, target += patchArea)
        pixels.copyWithin(target, first, first + patchArea);
    }
  };
  for (let row = 0; row < rows; row += mergeSize) {
    for (let column = 0; column < columns; column += mergeSize) {
      for (let i = 0; i < mergeSize * mergeSize; i++)
        writePatch(row + Math.floor(i / mergeSize), column + (i % mergeSize));
    }
  }
  return { pixels, shape: [rows * columns, patchLength] };
}
