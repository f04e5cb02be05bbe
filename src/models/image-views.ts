import { maxImageSide, resizeImage } from "../native/images.js";
import type { ByteImage, ImageSize } from "../native/types.js";
import type {
  AnyResolutionPolicy,
  ImageProcessorSpec,
  PadSquarePolicy,
  SmartResizePolicy,
  SplitPolicy,
} from "./image-processor-spec.js";

/** A frame that cannot be processed. */
export class FrameError extends Error {
  readonly code = "INVALID_FRAME";

  constructor(message: string) {
    super(message);
    this.name = "FrameError";
  }
}

/** What an image is to the vision encoder, apart from its pixels: what features are spliced, and text written, by. */
export type ImageArrangement =
  /** One view. */
  | { readonly kind: "single" }
  /** The whole frame, then rows * columns tiles, row by row. */
  | { readonly kind: "any_resolution"; readonly rows: number; readonly columns: number }
  /** Rows * columns tiles, row by row, then the whole frame; 0 x 0: the whole frame alone. */
  | { readonly kind: "split"; readonly rows: number; readonly columns: number }
  /** One view as 1 * rows * columns patches: `image_grid_thw`. */
  | { readonly kind: "patches"; readonly rows: number; readonly columns: number };

/** A window of an image; what lies outside the image is black. */
export interface View {
  readonly image: ByteImage;
  readonly top: number;
  readonly left: number;
}

/** The views of a frame, all of one size, in the order in which the vision encoder gets them. */
export interface Views {
  readonly views: readonly View[];
  readonly size: ImageSize;
  readonly arrangement: ImageArrangement;
}

const single: ImageArrangement = { kind: "single" };

/**
 * The views that a processor takes of an image.
 *
 * @throws FrameError where the image's aspect ratio is more than the policy can take
 */
export function viewsOf(image: ByteImage, { views: policy, filter }: ImageProcessorSpec): Views {
  const resize = (source: ByteImage, size: ImageSize) => {
    if (Math.max(size.width, size.height) > maxImageSide) {
      throw new FrameError(
        `frame: expected sides that are at most ${maxImageSide} when resized, ` +
          `received ${describe(image)}, which becomes ${describe(size)}`,
      );
    }
    return resizeImage(source, size, filter);
  };
  const cropped = (source: ByteImage, shortestEdge: number, size: ImageSize): Views => {
    const resized = resize(source, shortestEdgeSize(source, shortestEdge));
    return { views: [centered(resized, size)], size, arrangement: single };
  };

  switch (policy.kind) {
    case "stretch":
      return { views: [whole(resize(image, policy.size))], size: policy.size, arrangement: single };
    case "center_crop":
      return cropped(image, policy.shortestEdge, policy.size);
    case "pad_square":
      return cropped(padToSquare(image, policy.fill), policy.shortestEdge, policy.size);
    case "any_resolution": {
      const target = bestResolution(image, policy);
      const tile = square(policy.tile);
      const fitted = resize(image, fittedSize(image, target));
      // Half of an odd rest of black goes after the image, where `centered` has it before.
      const padded = {
        image: fitted,
        top: -Math.floor((target.height - fitted.height) / 2),
        left: -Math.floor((target.width - fitted.width) / 2),
      };
      return {
        views: [whole(resize(image, tile)), ...tiles(padded, target, policy.tile)],
        size: tile,
        arrangement: { kind: "any_resolution", ...gridOf(target, policy.tile) },
      };
    }
    case "split": {
      const tile = square(policy.tile);
      const enlarged = resize(image, longestEdgeSize(image, policy.longestEdge));
      const size = policy.split ? tiledSize(enlarged, policy) : tile;
      const resized = resize(enlarged, size);
      const grid = gridOf(size, policy.tile);
      if (grid.rows * grid.columns === 1) {
        return { views: [whole(resized)], size: tile, arrangement: { kind: "split", rows: 0, columns: 0 } };
      }
      return {
        views: [...tiles(whole(resized), size, policy.tile), whole(resize(resized, tile))],
        size: tile,
        arrangement: { kind: "split", ...grid },
      };
    }
    case "smart_resize": {
      const size = smartSize(image, policy);
      return {
        views: [whole(resize(image, size))],
        size,
        arrangement: { kind: "patches", ...gridOf(size, policy.patchSize) },
      };
    }
  }
}

const square = (side: number): ImageSize => ({ width: side, height: side });
const describe = ({ width, height }: ImageSize) => `${width} x ${height}`;
const whole = (image: ByteImage): View => ({ image, top: 0, left: 0 });

/** A window of the given size with the image in its middle: a crop where the image is larger, padding where it is smaller. */
function centered(image: ByteImage, size: ImageSize): View {
  return {
    image,
    top: Math.floor((image.height - size.height) / 2),
    left: Math.floor((image.width - size.width) / 2),
  };
}

function gridOf({ width, height }: ImageSize, side: number): { rows: number; columns: number } {
  return { rows: Math.floor(height / side), columns: Math.floor(width / side) };
}

/** The tiles of a window of the given size, row by row. */
function tiles({ image, top, left }: View, size: ImageSize, tile: number): View[] {
  const { rows, columns } = gridOf(size, tile);
  return Array.from({ length: rows * columns }, (_, i) => ({
    image,
    top: top + Math.floor(i / columns) * tile,
    left: left + (i % columns) * tile,
  }));
}

function shortestEdgeSize({ width, height }: ImageSize, edge: number): ImageSize {
  const longer = Math.trunc((edge * Math.max(width, height)) / Math.min(width, height));
  return width <= height ? { width: edge, height: longer } : { width: longer, height: edge };
}

function padToSquare(image: ByteImage, fill: PadSquarePolicy["fill"]): ByteImage {
  const { width, height, channels, data } = image;
  if (width === height) return image;
  const side = Math.max(width, height);
  const top = Math.floor((side - height) / 2);
  const left = Math.floor((side - width) / 2);
  const padded = new Uint8Array(side * side * channels);
  for (let i = 0; i < padded.length; i++) padded[i] = fill[i % channels]!;
  for (let y = 0; y < height; y++) {
    padded.set(
      data.subarray(y * width * channels, (y + 1) * width * channels),
      ((top + y) * side + left) * channels,
    );
  }
  return { width: side, height: side, channels, data: padded };
}

/** The resolution of an any-resolution policy that suits an image best. */
function bestResolution({ width, height }: ImageSize, { resolutions }: AnyResolutionPolicy): ImageSize {
  let best = resolutions[0]!;
  let mostPixels = 0;
  let leastBlack = Number.POSITIVE_INFINITY;
  for (const resolution of resolutions) {
    const scale = Math.min(resolution.width / width, resolution.height / height);
    const pixels = Math.min(Math.trunc(width * scale) * Math.trunc(height * scale), width * height);
    const black = resolution.width * resolution.height - pixels;
    if (pixels > mostPixels || (pixels === mostPixels && black < leastBlack)) {
      best = resolution;
      mostPixels = pixels;
      leastBlack = black;
    }
  }
  return best;
}

/** The largest size of an image's aspect ratio within `target`, rounded up as the reference does. */
function fittedSize({ width, height }: ImageSize, target: ImageSize): ImageSize {
  const scaleX = target.width / width;
  const scaleY = target.height / height;
  return scaleX < scaleY
    ? { width: target.width, height: Math.min(Math.ceil(height * scaleX), target.height) }
    : { width: Math.min(Math.ceil(width * scaleY), target.width), height: target.height };
}

/** The longest side that the processor of Idefics3 resizes a frame to, whatever its file says. */
const LONGEST_SPLIT_EDGE = 4096;

/** The longer side becomes `edge`, the shorter one keeps the aspect ratio, made even; both at most `LONGEST_SPLIT_EDGE`. */
function longestEdgeSize({ width, height }: ImageSize, edge: number): ImageSize {
  const aspectRatio = width / height;
  const even = (side: number) => Math.max(side + (side % 2), 1);
  const size =
    width >= height
      ? { width: edge, height: even(Math.trunc(edge / aspectRatio)) }
      : { width: even(Math.trunc(edge * aspectRatio)), height: edge };
  if (Math.max(size.width, size.height) <= LONGEST_SPLIT_EDGE) return size;
  const bounded = size.width / size.height;
  return size.width >= size.height
    ? { width: LONGEST_SPLIT_EDGE, height: Math.max(Math.trunc(LONGEST_SPLIT_EDGE / bounded), 1) }
    : { width: Math.max(Math.trunc(LONGEST_SPLIT_EDGE * bounded), 1), height: LONGEST_SPLIT_EDGE };
}

/** The longer side grows to a multiple of the tile, then the shorter one from what the aspect ratio makes of it. */
function tiledSize({ width, height }: ImageSize, { tile }: SplitPolicy): ImageSize {
  const aspectRatio = width / height;
  const grown = (side: number) => Math.ceil(side / tile) * tile;
  if (width >= height) {
    const longer = grown(width);
    return { width: longer, height: grown(Math.trunc(longer / aspectRatio)) };
  }
  const longer = grown(height);
  return { width: grown(Math.trunc(longer * aspectRatio)), height: longer };
}

/** The widest aspect ratio that the processor of Qwen2-VL takes. */
const WIDEST_ASPECT_RATIO = 200;

function smartSize(image: ImageSize, policy: SmartResizePolicy): ImageSize {
  const { width, height } = image;
  if (Math.max(width, height) / Math.min(width, height) > WIDEST_ASPECT_RATIO) {
    throw new FrameError(
      `frame: expected an aspect ratio of at most ${WIDEST_ASPECT_RATIO}, received ${describe(image)}`,
    );
  }
  const factor = policy.patchSize * policy.mergeSize;
  const scaled = (change: (side: number) => number) => ({ width: change(width), height: change(height) });
  const nearest = scaled((side) => roundHalfToEven(side / factor) * factor);
  const pixels = nearest.width * nearest.height;
  if (pixels > policy.maxPixels) {
    const shrink = Math.sqrt((width * height) / policy.maxPixels);
    return scaled((side) => Math.max(factor, Math.floor(side / shrink / factor) * factor));
  }
  if (pixels < policy.minPixels) {
    const growth = Math.sqrt(policy.minPixels / (width * height));
    return scaled((side) => Math.ceil((side * growth) / factor) * factor);
  }
  return nearest;
}

function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
}
