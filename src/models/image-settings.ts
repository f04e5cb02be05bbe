import { type ImageProcessorSpec, singleCrop } from "./image-processor-spec.js";

/** What of a checkpoint's image processor a run may change: how many tokens a frame takes is what it costs. */
export interface ImageSettings {
  /** LLaVA: one crop of a frame, as RL4VLM takes it, instead of tiles or padding. */
  readonly singleCrop?: boolean | undefined;
  /** SmolVLM, Idefics3: whether a frame is also cut into tiles. */
  readonly splitting?: boolean | undefined;
  /** Qwen2.5-VL: the fewest pixels that a frame is enlarged to, >= 1. */
  readonly minPixels?: number | undefined;
  /** Qwen2.5-VL: the most pixels that a frame is reduced to, >= 1. */
  readonly maxPixels?: number | undefined;
}

/** A setting that the model's image processor has not, or that does not go with its others. */
export class ImageSettingError extends Error {
  readonly code = "INVALID_IMAGE_SETTING";

  constructor(
    readonly setting: keyof ImageSettings,
    problem: string,
  ) {
    super(`images.${setting}: ${problem}`);
    this.name = "ImageSettingError";
  }
}

/** @throws ImageSettingError for a setting that would have no effect on this processor */
export function withImageSettings(spec: ImageProcessorSpec, settings: ImageSettings): ImageProcessorSpec {
  const { minPixels, maxPixels, splitting } = settings;
  let changed = spec;
  if (settings.singleCrop) {
    const { kind } = spec.views;
    if (kind !== "center_crop" && kind !== "pad_square" && kind !== "any_resolution") {
      throw noEffect("singleCrop", "LLaVA", kind);
    }
    changed = singleCrop(spec);
  }
  if (splitting !== undefined) {
    const { views } = spec;
    if (views.kind !== "split") throw noEffect("splitting", "SmolVLM or Idefics3", views.kind);
    changed = { ...spec, views: { ...views, split: splitting } };
  }
  if (minPixels !== undefined || maxPixels !== undefined) {
    const setting = minPixels !== undefined ? "minPixels" : "maxPixels";
    const { views } = spec;
    if (views.kind !== "smart_resize") throw noEffect(setting, "Qwen2.5-VL", views.kind);
    const range = { minPixels: minPixels ?? views.minPixels, maxPixels: maxPixels ?? views.maxPixels };
    if (range.minPixels > range.maxPixels) {
      throw new ImageSettingError(
        setting,
        `expected at least as many pixels at most as at least, received ${range.minPixels} to ${range.maxPixels}`,
      );
    }
    changed = { ...spec, views: { ...views, ...range } };
  }
  return changed;
}

/** @throws ImageSettingError for any setting, since a model of text alone has no image processor */
export function refuseImageSettings(settings: ImageSettings): void {
  const [setting] = Object.keys(settings) as (keyof ImageSettings)[];
  if (setting === undefined) return;
  throw new ImageSettingError(
    setting,
    "expected a model that sees images, received one of text alone; leave this setting out",
  );
}

function noEffect(setting: keyof ImageSettings, family: string, kind: string): ImageSettingError {
  return new ImageSettingError(
    setting,
    `expected a checkpoint of ${family}, received one whose image processor takes views of the kind "${kind}"; ` +
      "leave this setting out",
  );
}
