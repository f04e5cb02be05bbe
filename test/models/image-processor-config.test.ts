import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { imageProcessorConfig } from "../../src/models/image-processor-config.js";

const tinyVlm = JSON.parse(
  readFileSync(new URL("../../assets/tiny-vlm/preprocessor_config.json", import.meta.url), "utf8"),
);
const clipColors = {
  image_mean: [0.48145466, 0.4578275, 0.40821073],
  image_std: [0.26862954, 0.26130258, 0.27577711],
};
const halves = { image_mean: [0.5, 0.5, 0.5], image_std: [0.5, 0.5, 0.5] };
const steps = { do_resize: true, do_rescale: true, do_normalize: true, do_convert_rgb: true };
const square = (side: number) => ({ height: side, width: side });
const pinpoints = [
  [336, 672],
  [672, 336],
  [672, 672],
  [1008, 336],
  [336, 1008],
];

/** The files of real checkpoints. */
const files = {
  openaiClip: {
    crop_size: 336,
    do_center_crop: true,
    do_normalize: true,
    do_resize: true,
    feature_extractor_type: "CLIPFeatureExtractor",
    ...clipColors,
    resample: 3,
    size: 336,
  },
  llavaNext: {
    aspect_ratio_setting: "anyres",
    crop_size: square(336),
    do_center_crop: true,
    do_pad: true,
    ...steps,
    image_grid_pinpoints: pinpoints,
    ...clipColors,
    image_processor_type: "LlavaNextImageProcessor",
    processor_class: "LlavaNextProcessor",
    resample: 3,
    rescale_factor: 0.00392156862745098,
    size: { shortest_edge: 336 },
  },
  siglip: {
    ...steps,
    ...halves,
    image_processor_type: "SiglipImageProcessor",
    processor_class: "SiglipProcessor",
    resample: 3,
    rescale_factor: 0.00392156862745098,
    size: square(384),
  },
  smolVlm2: {
    ...steps,
    ...halves,
    do_image_splitting: true,
    do_pad: true,
    image_processor_type: "SmolVLMImageProcessor",
    max_image_size: { longest_edge: 512 },
    processor_class: "SmolVLMProcessor",
    resample: 1,
    rescale_factor: 0.00392156862745098,
    size: { longest_edge: 2048 },
    video_sampling: { fps: 1, max_frames: 64, video_size: { longest_edge: 512 } },
  },
  qwen25Vl: {
    min_pixels: 3136,
    max_pixels: 12845056,
    patch_size: 14,
    temporal_patch_size: 2,
    merge_size: 2,
    ...clipColors,
    image_processor_type: "Qwen2VLImageProcessor",
    processor_class: "Qwen2_5_VLProcessor",
  },
  qwen3Vl: {
    size: { longest_edge: 16777216, shortest_edge: 65536 },
    patch_size: 16,
    temporal_patch_size: 2,
    merge_size: 2,
    ...halves,
    processor_class: "Qwen3VLProcessor",
    image_processor_type: "Qwen2VLImageProcessorFast",
  },
};

const clipCrop = { kind: "center_crop", shortestEdge: 336, size: square(336) };

describe("imageProcessorConfig reads", () => {
  test("an old CLIP file, whose sizes are plain numbers", () => {
    expect(imageProcessorConfig.parse(files.openaiClip)).toEqual({
      channels: 3,
      filter: "bicubic",
      rescale: 1 / 255,
      mean: clipColors.image_mean,
      std: clipColors.image_std,
      views: clipCrop,
    });
  });

  test("LLaVA-1.6, with the sizes of its grid as (height, width)", () => {
    const { views } = imageProcessorConfig.parse(files.llavaNext);
    const resolutions = pinpoints.map(([height, width]) => ({ height, width }));
    expect(views).toEqual({ kind: "any_resolution", tile: 336, resolutions });
  });

  test("SigLIP", () => {
    const spec = imageProcessorConfig.parse(files.siglip);
    expect(spec).toMatchObject({ filter: "bicubic", views: { kind: "stretch", size: square(384) } });
  });

  test("SmolVLM2, with its splitting on or off", () => {
    const views = { kind: "split", longestEdge: 2048, tile: 512, split: true };
    expect(imageProcessorConfig.parse(files.smolVlm2)).toMatchObject({ filter: "lanczos", views });
    const unsplit = imageProcessorConfig.parse({ ...files.smolVlm2, do_image_splitting: false });
    expect(unsplit.views).toEqual({ ...views, split: false });
  });

  test("Qwen2.5-VL and Qwen3-VL, whose pixel counts have different names", () => {
    const views = { kind: "smart_resize", patchSize: 14, mergeSize: 2, temporalPatchSize: 2 };
    const { views: qwen25 } = imageProcessorConfig.parse(files.qwen25Vl);
    expect(qwen25).toEqual({ ...views, minPixels: 3136, maxPixels: 12845056 });
    const { views: qwen3 } = imageProcessorConfig.parse(files.qwen3Vl);
    expect(qwen3).toEqual({ ...views, patchSize: 16, minPixels: 65536, maxPixels: 16777216 });
    const { views: silent } = imageProcessorConfig.parse({ image_processor_type: "Qwen2VLImageProcessor" });
    expect(silent).toEqual({ ...views, minPixels: 3136, maxPixels: 1003520 });
  });

  test("the names of other backends, and null as not set", () => {
    const file = {
      ...files.openaiClip,
      feature_extractor_type: null,
      image_processor_type: "CLIPImageProcessorFast",
      size: { shortest_edge: 336 },
      crop_size: square(336),
      pad_size: null,
      device: null,
      data_format: "channels_first",
    };
    expect(imageProcessorConfig.parse(file).views).toEqual(clipCrop);
  });

  test("padding to a square of the mean's colour", () => {
    const file = {
      ...files.llavaNext,
      image_processor_type: "LlavaImageProcessor",
      image_grid_pinpoints: null,
    };
    const { views } = imageProcessorConfig.parse(file);
    expect(views).toEqual({ ...clipCrop, kind: "pad_square", fill: [122, 116, 104] });
    expect(imageProcessorConfig.parse({ ...file, do_pad: false }).views).toEqual(clipCrop);
  });

  test("a CLIP file with one size for resizing and cropping", () => {
    const file = { ...files.openaiClip, size: square(224), crop_size: square(224) };
    expect(imageProcessorConfig.parse(file).views).toEqual({ kind: "stretch", size: square(224) });
  });
});

describe("imageProcessorConfig names what is wrong", () => {
  const { llavaNext, openaiClip, qwen25Vl, smolVlm2 } = files;
  test.each<[string, object, object, string]>([
    ["size", tinyVlm, { size: { height: 96, width: 48 } }, "expected a square, received 96 x 48"],
    ["image_mean", tinyVlm, { image_mean: [0, 0] }, "expected 1 number(s), one per channel, received 2"],
    ["image_std", tinyVlm, { do_grayscale: false, image_mean: [0, 0, 0] }, "expected 3 number(s)"],
    ["image_std", tinyVlm, { image_std: [0] }, "expected no deviation to be 0"],
    ["resample", tinyVlm, { resample: 0 }, "expected one of 1|2|3|4"],
    ["", tinyVlm, { do_pad: true }, "do_pad"],
    ["image_processor_type", tinyVlm, { image_processor_type: "VitImageProcessor" }, "image_processor_type"],
    ["image_processor_type", {}, {}, "image_processor_type"],
    ["image_mean", openaiClip, { image_mean: [0.5] }, "expected 3 number(s), one per channel, received 1"],
    ["do_normalize", openaiClip, { do_normalize: false }, "expected true"],
    ["do_center_crop", openaiClip, { do_center_crop: false }, "expected true"],
    ["size", openaiClip, { size: { longest_edge: 336 } }, 'expected {"shortest_edge": n}'],
    ["size", openaiClip, { size: square(300) }, "expected crop_size, 336 x 336"],
    ["size", openaiClip, { size: 2 ** 31 }, "<=16384"],
    ["crop_size", llavaNext, { crop_size: square(224) }, "expected a square of the side that size has"],
    ["image_grid_pinpoints", llavaNext, { image_grid_pinpoints: [[336, 500]] }, "received 336 x 500"],
    ["image_grid_pinpoints", llavaNext, { image_grid_pinpoints: [] }, ">=1"],
    ["max_image_size.longest_edge", smolVlm2, { max_image_size: { longest_edge: 0 } }, ">=1"],
    ["size", qwen25Vl, { max_pixels: 3000 }, "expected the fewest pixels first, received 3136 to 3000"],
    ["patch_size", qwen25Vl, { patch_size: 2 ** 31 }, "<=16384"],
    ["", qwen25Vl, { size_divisor: 32 }, "size_divisor"],
  ])("%s", (path, file, change, message) => {
    const issues = imageProcessorConfig.safeParse({ ...file, ...change }).error!.issues;
    expect(issues.map((issue) => issue.path.join("."))).toContain(path);
    expect(issues.map((issue) => `${issue.path} ${issue.message}`).join("\n")).toContain(message);
  });

  test.each([null, 3, "text", []])("a file of %j", (content) => {
    expect(imageProcessorConfig.safeParse(content).success).toBe(false);
  });
});
