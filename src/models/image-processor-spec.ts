import type { ImageSize, ResampleFilter } from "../native/types.js";

/** How a frame becomes pixel values, as data: `ImageProcessor` carries it out, `imageProcessorConfig` reads it from a file. */
export interface ImageProcessorSpec {
  /** 1 takes the frame's luminance, 3 its red, green and blue. */
  readonly channels: 1 | 3;
  /** What every resize is done with. */
  readonly filter: ResampleFilter;
  /** Factor on the 8-bit samples. */
  readonly rescale: number;
  /** (channels) subtracted after rescaling. */
  readonly mean: readonly number[];
  /** (channels) divided by after that, not 0. */
  readonly std: readonly number[];
  readonly views: ViewPolicy;
}

/** Which views of a frame the vision encoder gets, all of one size. */
export type ViewPolicy =
  | StretchPolicy
  | CenterCropPolicy
  | PadSquarePolicy
  | AnyResolutionPolicy
  | SplitPolicy
  | SmartResizePolicy;

/** The whole frame, resized to `size` whatever its aspect ratio (SigLIP). */
export interface StretchPolicy {
  readonly kind: "stretch";
  readonly size: ImageSize;
}

/** The middle of the frame after its shorter side has become `shortestEdge` (CLIP, LLaVA-1.5); black where it is too small. */
export interface CenterCropPolicy {
  readonly kind: "center_crop";
  readonly shortestEdge: number;
  readonly size: ImageSize;
}

/** The same of the frame padded to a square, in its middle, with `fill` (the original LLaVA-1.5). */
export interface PadSquarePolicy {
  readonly kind: "pad_square";
  readonly shortestEdge: number;
  readonly size: ImageSize;
  /** (channels) 8-bit samples. */
  readonly fill: readonly number[];
}

/**
 * LLaVA-1.6: the whole frame stretched to `tile` x `tile`, then the tiles, row by row, of the frame as large as fits into
 * the best of `resolutions`, in its middle on black. A frame gets the resolution that keeps most of its pixels, the one with
 * the least black if several do, the first if several still do.
 */
export interface AnyResolutionPolicy {
  readonly kind: "any_resolution";
  /** Side of a view, in pixels. */
  readonly tile: number;
  /** Multiples of `tile`. */
  readonly resolutions: readonly ImageSize[];
}

/**
 * Idefics3 and SmolVLM: the frame is enlarged or reduced until its longer side is `longestEdge`. With `split` its sides then
 * grow to multiples of `tile`, and the views are its tiles, row by row, and last the whole frame as one tile; a frame that
 * fits one tile is that tile alone. Without, the frame as one tile is the only view.
 */
export interface SplitPolicy {
  readonly kind: "split";
  readonly longestEdge: number;
  /** Side of a view, in pixels. */
  readonly tile: number;
  readonly split: boolean;
}

/**
 * Qwen2-VL and later: one view whose sides are multiples of `patchSize` * `mergeSize` as near to the frame's as
 * `minPixels` <= width * height <= `maxPixels` allows, handed over as patches.
 */
export interface SmartResizePolicy {
  readonly kind: "smart_resize";
  readonly minPixels: number;
  readonly maxPixels: number;
  /** Side of a patch, in pixels. */
  readonly patchSize: number;
  /** Side of the square of patches that becomes one image token. */
  readonly mergeSize: number;
  /** Times that a patch repeats, as the frames of a still video. */
  readonly temporalPatchSize: number;
}

/**
 * The views of RL4VLM (Zhai et al. 2024) for a LLaVA checkpoint: the centre crop of one resized frame, without tiles and
 * without padding, also where the checkpoint's own processor has them.
 *
 * @throws RangeError for a processor of another family
 */
export function singleCrop(spec: ImageProcessorSpec): ImageProcessorSpec {
  const { views } = spec;
  switch (views.kind) {
    case "center_crop":
      return spec;
    case "pad_square": {
      const { shortestEdge, size } = views;
      return { ...spec, views: { kind: "center_crop", shortestEdge, size } };
    }
    case "any_resolution": {
      const size = { width: views.tile, height: views.tile };
      return { ...spec, views: { kind: "center_crop", shortestEdge: views.tile, size } };
    }
    default:
      throw new RangeError(
        `spec.views.kind: expected the processor of a LLaVA checkpoint ("center_crop", "pad_square" or ` +
          `"any_resolution"), received "${views.kind}"; take this checkpoint's own views`,
      );
  }
}
