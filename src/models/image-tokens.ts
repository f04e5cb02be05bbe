import type { FixedResolutionSpec, ProjectorSpec } from "../native/model-spec.js";
import { NEWLINE_TOKEN } from "../native/types.js";
import type { ProcessedImage } from "./image-processor.js";

/** Number of tokens of one view of an image: one per merged square of patches. */
export const viewTokenCount = (vision: FixedResolutionSpec, projector: ProjectorSpec): number =>
  (vision.imageSize / vision.patchSize / projector.mergeSize) ** 2;

/**
 * Number of tokens that an image takes in the decoder.
 *
 * @param tokenSize side of the square of pixels that becomes one token: the patch size times the side of the square of
 *   patches that is merged (14 for LLaVA, 28 for Qwen2.5-VL, 64 for SmolVLM-256M)
 */
export function imageTokenCount(image: ProcessedImage, tokenSize: number): number {
  const { arrangement } = image;
  const perView = tokensOf(image.viewSize.height, tokenSize) * tokensOf(image.viewSize.width, tokenSize);
  switch (arrangement.kind) {
    case "single":
    case "patches":
      return perView;
    case "split":
      return perView * (arrangement.rows * arrangement.columns + 1);
    case "any_resolution": {
      const kept = keptTokens(image, arrangement, tokenSize);
      return perView + kept.rows * (kept.columns + 1);
    }
  }
}

/**
 * The feature rows of an any-resolution image in the order in which the decoder takes them: all of the whole frame's, then
 * those of the tiles, line by line over all tiles, without the lines or columns that are black by padding, and
 * `NEWLINE_TOKEN` at the end of every line.
 *
 * @param tokenSize as in `imageTokenCount`
 * @returns (imageTokenCount) indices into (views, tokens of a view), row-major
 * @throws RangeError for an image of another arrangement
 */
export function anyResolutionRows(image: ProcessedImage, tokenSize: number): Int32Array {
  const { arrangement, viewSize } = image;
  if (arrangement.kind !== "any_resolution") {
    throw new RangeError(
      `image.arrangement.kind: expected "any_resolution", received "${arrangement.kind}", ` +
        "whose features are taken in their own order",
    );
  }
  const side = tokensOf(viewSize.width, tokenSize);
  const kept = keptTokens(image, arrangement, tokenSize);
  const rows = new Int32Array(side * side + kept.rows * (kept.columns + 1));
  let end = 0;
  while (end < side * side) {
    rows[end] = end;
    end++;
  }
  for (let y = kept.top; y < kept.top + kept.rows; y++) {
    for (let x = kept.left; x < kept.left + kept.columns; x++) {
      const tile = Math.floor(y / side) * arrangement.columns + Math.floor(x / side);
      rows[end++] = ((1 + tile) * side + (y % side)) * side + (x % side);
    }
    rows[end++] = NEWLINE_TOKEN;
  }
  return rows;
}

const tokensOf = (pixels: number, tokenSize: number) => Math.floor(pixels / tokenSize);

/** The tokens of all tiles together that padding does not make black; on an axis with padding up to one more than fit. */
function keptTokens(
  { viewSize, originalSize }: ProcessedImage,
  grid: { readonly rows: number; readonly columns: number },
  tokenSize: number,
): { top: number; left: number; rows: number; columns: number } {
  const rows = grid.rows * tokensOf(viewSize.height, tokenSize);
  const columns = grid.columns * tokensOf(viewSize.width, tokenSize);
  const { width, height } = originalSize;
  if (width / height > columns / rows) {
    const top = Math.floor((rows - truncated(height * (columns / width))) / 2);
    return { top, left: 0, rows: rows - 2 * top, columns };
  }
  const left = Math.floor((columns - truncated(width * (rows / height))) / 2);
  return { top: 0, left, rows, columns: columns - 2 * left };
}

/** The integer part after rounding to 7 decimals, so that 23.99999999999 tokens are 24. */
function truncated(value: number): number {
  return Math.trunc(Number(value.toFixed(7)));
}
