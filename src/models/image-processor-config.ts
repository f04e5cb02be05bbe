import { z } from "zod";
import { maxImageSide } from "../native/images.js";
import type { ImageSize, ResampleFilter } from "../native/types.js";
import type { ImageProcessorSpec, ViewPolicy } from "./image-processor-spec.js";

/** Pillow's numbers of the filters. */
const filters: Readonly<Record<1 | 2 | 3 | 4, ResampleFilter>> = {
  1: "lanczos",
  2: "bilinear",
  3: "bicubic",
  4: "box",
};

const edge = z.int().min(1).max(maxImageSide);
const count = z.int().positive();
const rectangle = z.strictObject({ height: edge, width: edge });
const yes = z.literal(true).default(true);

/** Settings that all processors have; a file that leaves one out means the default of the family's class in Transformers. */
function common(defaults: { resample: keyof typeof filters; mean: number[]; std: number[] }) {
  return {
    do_resize: yes,
    resample: z.literal([1, 2, 3, 4]).default(defaults.resample),
    do_rescale: yes,
    rescale_factor: z
      .number()
      .positive()
      .default(1 / 255),
    do_normalize: yes,
    image_mean: z.array(z.number()).default(defaults.mean),
    image_std: z.array(z.number()).default(defaults.std),
  };
}

const clipMean = [0.48145466, 0.4578275, 0.40821073];
const clipStd = [0.26862954, 0.26130258, 0.27577711];
const halves = [0.5, 0.5, 0.5];
const clip = common({ resample: 3, mean: clipMean, std: clipStd });

interface Common {
  resample: keyof typeof filters;
  rescale_factor: number;
  image_mean: number[];
  image_std: number[];
}

/** Reports a problem of one setting from inside a transform. */
type Problem = (key: string, message: string) => void;

function problemsOf(context: z.core.$RefinementCtx): Problem {
  return (key, message) => context.addIssue({ code: "custom", path: [key], message });
}

function toSpec(
  config: Common,
  channels: 1 | 3,
  views: ViewPolicy,
  context: z.core.$RefinementCtx,
): ImageProcessorSpec {
  const problem = problemsOf(context);
  for (const key of ["image_mean", "image_std"] as const) {
    const { length } = config[key];
    if (length !== channels)
      problem(key, `expected ${channels} number(s), one per channel, received ${length}`);
  }
  if (config.image_std.includes(0)) problem("image_std", "expected no deviation to be 0");
  return {
    channels,
    filter: filters[config.resample],
    rescale: config.rescale_factor,
    mean: config.image_mean,
    std: config.image_std,
    views,
  };
}

const tinyVlm = z
  .strictObject({
    image_processor_type: z.literal("TinyVlmImageProcessor"),
    do_grayscale: z.boolean(),
    size: rectangle,
    ...common({ resample: 4, mean: halves, std: halves }),
  })
  .transform((config, context) => {
    const { height, width } = config.size;
    if (height !== width) problemsOf(context)("size", `expected a square, received ${height} x ${width}`);
    const views = { kind: "stretch", size: config.size } as const;
    return toSpec(config, config.do_grayscale ? 1 : 3, views, context);
  });

const siglip = z
  .strictObject({
    image_processor_type: z.literal("SiglipImageProcessor"),
    size: rectangle.default({ height: 224, width: 224 }),
    ...common({ resample: 3, mean: halves, std: halves }),
  })
  .transform((config, context) => toSpec(config, 3, { kind: "stretch", size: config.size }, context));

/** `size` and `crop_size` of the CLIP processor and its descendants; a plain number is how older files write them. */
const clipSizes = {
  size: z
    .union([edge, z.strictObject({ shortest_edge: edge }), rectangle], {
      error: 'expected {"shortest_edge": n}, or {"height": n, "width": n} equal to crop_size',
    })
    .default(224),
  do_center_crop: yes,
  crop_size: z
    .union([edge, rectangle], { error: 'expected {"height": n, "width": n}' })
    .default(224)
    .transform((size): ImageSize => (typeof size === "number" ? { height: size, width: size } : size)),
};
type ClipSizes = z.output<z.ZodObject<typeof clipSizes>>;

/** The resize and crop that both sizes together describe. */
function clipViews({ size, crop_size: crop }: ClipSizes, problem: Problem) {
  if (typeof size === "number") return { kind: "center_crop", shortestEdge: size, size: crop } as const;
  if ("shortest_edge" in size)
    return { kind: "center_crop", shortestEdge: size.shortest_edge, size: crop } as const;
  if (size.height !== crop.height || size.width !== crop.width) {
    problem(
      "size",
      `expected crop_size, ${crop.height} x ${crop.width}, or a shortest_edge, received ${size.height} x ${size.width}`,
    );
  }
  return { kind: "stretch", size: crop } as const;
}

const clipLike = z
  .strictObject({
    image_processor_type: z.literal("CLIPImageProcessor"),
    do_pad: z.boolean().optional(),
    ...clipSizes,
    ...clip,
  })
  .transform((config, context) => toSpec(config, 3, clipViews(config, problemsOf(context)), context));

const llava = z
  .strictObject({
    image_processor_type: z.literal("LlavaImageProcessor"),
    do_pad: z.boolean().default(false),
    ...clipSizes,
    ...clip,
  })
  .transform((config, context) => {
    const problem = problemsOf(context);
    const views = clipViews(config, problem);
    if (!config.do_pad) return toSpec(config, 3, views, context);
    if (views.kind === "stretch") {
      problem("size", 'expected {"shortest_edge": n} with do_pad');
      return z.NEVER;
    }
    const fill = config.image_mean.map((mean) => Math.min(Math.max(Math.trunc(mean * 255), 0), 255));
    return toSpec(config, 3, { ...views, kind: "pad_square", fill }, context);
  });

const llavaNext = z
  .strictObject({
    image_processor_type: z.literal("LlavaNextImageProcessor"),
    /** Of the number of tiles, to that of other images in a batch. */
    do_pad: z.boolean().optional(),
    /** (height, width) each. */
    image_grid_pinpoints: z
      .array(z.tuple([edge, edge]))
      .min(1)
      .default([
        [336, 672],
        [672, 336],
        [672, 672],
        [1008, 336],
        [336, 1008],
      ]),
    ...clipSizes,
    ...clip,
  })
  .transform((config, context) => {
    const problem = problemsOf(context);
    const { size, ...views } = clipViews(config, problem);
    const tile = size.width;
    if (size.height !== tile || (views.kind === "center_crop" && views.shortestEdge !== tile)) {
      problem(
        "crop_size",
        "expected a square of the side that size has, as tiles are neither resized nor cut",
      );
    }
    config.image_grid_pinpoints.forEach(([height, width]) => {
      if (height % tile === 0 && width % tile === 0) return;
      problem(
        "image_grid_pinpoints",
        `expected multiples of crop_size, ${tile}, received ${height} x ${width}`,
      );
    });
    const resolutions = config.image_grid_pinpoints.map(([height, width]) => ({ height, width }));
    return toSpec(config, 3, { kind: "any_resolution", tile, resolutions }, context);
  });

const longestEdge = z.strictObject({ longest_edge: edge });

const idefics3 = z
  .strictObject({
    image_processor_type: z.literal(["Idefics3ImageProcessor", "SmolVLMImageProcessor"]),
    /** Of images to the largest in a batch. */
    do_pad: z.boolean().optional(),
    do_image_splitting: z.boolean().default(true),
    size: longestEdge.default({ longest_edge: 4 * 364 }),
    max_image_size: longestEdge.default({ longest_edge: 364 }),
    ...common({ resample: 1, mean: halves, std: halves }),
  })
  .transform((config, context) => {
    const views = {
      kind: "split",
      longestEdge: config.size.longest_edge,
      tile: config.max_image_size.longest_edge,
      split: config.do_image_splitting,
    } as const;
    return toSpec(config, 3, views, context);
  });

const qwen2Vl = z
  .strictObject({
    image_processor_type: z.literal("Qwen2VLImageProcessor"),
    /** Despite their names numbers of pixels, as `min_pixels` and `max_pixels`, which older files have. */
    size: z
      .strictObject({ shortest_edge: count.default(56 * 56), longest_edge: count.default(28 * 28 * 1280) })
      .prefault({}),
    min_pixels: count.optional(),
    max_pixels: count.optional(),
    patch_size: edge.default(14),
    temporal_patch_size: edge.default(2),
    merge_size: edge.default(2),
    ...clip,
  })
  .transform((config, context) => {
    const views = {
      kind: "smart_resize",
      minPixels: config.min_pixels ?? config.size.shortest_edge,
      maxPixels: config.max_pixels ?? config.size.longest_edge,
      patchSize: config.patch_size,
      mergeSize: config.merge_size,
      temporalPatchSize: config.temporal_patch_size,
    } as const;
    if (views.minPixels > views.maxPixels) {
      const range = `${views.minPixels} to ${views.maxPixels}`;
      problemsOf(context)("size", `expected the fewest pixels first, received ${range}`);
    }
    return toSpec(config, 3, views, context);
  });

/** Settings without effect on one RGB frame: notes, batching, video, backends of the reference. */
const withoutEffect = new Set([
  "_valid_processor_keys",
  "aspect_ratio_setting",
  "auto_map",
  "data_format",
  "default_to_square",
  "device",
  "disable_grouping",
  "do_convert_rgb",
  "feature_extractor_type",
  "input_data_format",
  "processor_class",
  "return_row_col_info",
  "return_tensors",
  "video_sampling",
]);

/**
 * One spelling per meaning: settings that are null are left out; a processor of another backend ("Fast", "Pil") or of an older
 * release ("FeatureExtractor") has its name without that.
 */
function normalized(content: unknown): unknown {
  if (typeof content !== "object" || content === null || Array.isArray(content)) return content;
  const settings: Record<string, unknown> = { ...content };
  const type = settings.image_processor_type ?? settings.feature_extractor_type;
  const entries = Object.entries(settings).filter(
    ([key, value]) => value !== null && !withoutEffect.has(key),
  );
  if (typeof type !== "string") return Object.fromEntries(entries);
  const image_processor_type = type
    .replace(/FeatureExtractor$/, "ImageProcessor")
    .replace(/(?:Fast|Pil)$/, "");
  return { ...Object.fromEntries(entries), image_processor_type };
}

/**
 * Reads `preprocessor_config.json`. Every setting must be known; what `ImageProcessor` computes is what the class that the file
 * names computes with Pillow, also where the file names a class of another backend, whose resizing differs.
 */
export const imageProcessorConfig = z.preprocess(
  normalized,
  z.discriminatedUnion("image_processor_type", [
    tinyVlm,
    siglip,
    clipLike,
    llava,
    llavaNext,
    idefics3,
    qwen2Vl,
  ]),
);
