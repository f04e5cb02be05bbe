import { viewTokenCount } from "../models/image-tokens.js";
import type { ModelSpec } from "../native/model-spec.js";
import type { ImageInput } from "../native/types.js";

/** Side in pixels of the frames that a plan assumes where a model takes them as large as they are: those of GymCards. */
const frameSide = 300;

/** The image that a plan puts into every prompt. */
export interface PlannedImage {
  /** Of the decoder. */
  readonly tokens: number;
  /** Images of different indices differ. */
  make(index: number): ImageInput;
}

/** One view, or a square frame of GymCards; null for a model of text alone. */
export function plannedImage({ vision, projector }: ModelSpec): PlannedImage | null {
  if (vision === null || projector === null) return null;
  const filled = (size: number, index: number) => {
    const pixels = new Float32Array(size);
    pixels[0] = index;
    return pixels;
  };
  const { channels, patchSize } = vision;
  if (vision.kind === "fixed_resolution") {
    const size = channels * vision.imageSize ** 2;
    return { tokens: viewTokenCount(vision, projector), make: (index) => ({ pixels: filled(size, index) }) };
  }
  const side = Math.max(1, Math.round(frameSide / patchSize / projector.mergeSize));
  const grid = { rows: side * projector.mergeSize, columns: side * projector.mergeSize };
  const size = grid.rows * grid.columns * channels * vision.temporalPatchSize * patchSize ** 2;
  return { tokens: side ** 2, make: (index) => ({ pixels: filled(size, index), grid }) };
}
