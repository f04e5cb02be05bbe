/** The files of a model folder are edited apart but describe one model. */
import { join } from "node:path";
import type { ModelSpec } from "../native/model-spec.js";
import { CheckpointError } from "./checkpoint-error.js";
import { checkpointFiles, orInvalid } from "./checkpoint-files.js";
import type { ModelMapping } from "./families/family.js";
import type { ImageProcessor } from "./image-processor.js";
import type { ViewPolicy } from "./image-processor-spec.js";
import type { Tokenizer } from "./tokenizer.js";

/** The parts of a model folder that must fit together. */
export interface DescribedModel extends ModelMapping {
  readonly folder: string;
  readonly tokenizer: Tokenizer;
  /** Null for a model of text alone. */
  readonly imageProcessor: ImageProcessor | null;
}

type RequireEqual = <Value extends number | string>(
  file: string,
  field: string,
  received: Value,
  expected: Value,
) => void;

/**
 * @param configuredEndToken what `config.json` says
 * @throws CheckpointError `FILES_DISAGREE`
 */
export function requireAgreement(model: DescribedModel, configuredEndToken: number): void {
  const { folder, spec, tokenizer, layout } = model;
  const requireEqual: RequireEqual = (file, field, received, expected) => {
    if (received === expected) return;
    throw new CheckpointError(
      "FILES_DISAGREE",
      join(folder, file),
      `${field}: expected ${expected} as ${checkpointFiles.config} has it, received ${received}`,
    );
  };
  // Published files are padded, and name end tokens of the model that they were made from; ours are not and do not.
  if (layout === null) {
    requireEqual(
      checkpointFiles.tokenizer,
      "vocabulary size",
      tokenizer.vocabularySize,
      spec.decoder.vocabularySize,
    );
    requireEqual(checkpointFiles.tokenizerConfig, "id of eos_token", spec.endTokenId, configuredEndToken);
  }
  if (spec.endTokenId >= spec.decoder.vocabularySize) {
    throw new CheckpointError(
      "FILES_DISAGREE",
      join(folder, checkpointFiles.tokenizerConfig),
      `id of eos_token: expected one below the vocabulary size ${spec.decoder.vocabularySize}, received ${spec.endTokenId}`,
    );
  }
  requireImages(model, requireEqual);
}

function requireImages(
  { folder, spec, image, imageProcessor, tokenizer }: DescribedModel,
  requireEqual: RequireEqual,
): void {
  if (image === null || imageProcessor === null || spec.vision === null) return;
  const imageToken = orInvalid(
    join(folder, checkpointFiles.tokenizer),
    "expected the image token in the vocabulary",
    () => tokenizer.tokenId(image.token),
  );
  // Where it has an id that the model has not, the model has another place for it.
  if (imageToken < spec.decoder.vocabularySize) {
    requireEqual(checkpointFiles.tokenizer, `id of ${image.token}`, imageToken, spec.imageTokenId!);
  }

  const file = checkpointFiles.preprocessor;
  const { channels, views } = imageProcessor.spec;
  if (!image.views.includes(views.kind)) {
    throw new CheckpointError(
      "FILES_DISAGREE",
      join(folder, file),
      `image_processor_type: expected one with views of the kind ${image.views.join(" or ")}, as the model in ` +
        `${checkpointFiles.config} takes, received "${views.kind}"`,
    );
  }
  requireEqual(file, "channels", channels, spec.vision.channels);
  if (views.kind === "smart_resize") {
    const vision = spec.vision as Extract<ModelSpec["vision"], { kind: "native_resolution" }>;
    requireEqual(file, "patch_size", views.patchSize, vision.patchSize);
    requireEqual(file, "merge_size", views.mergeSize, spec.projector!.mergeSize);
    requireEqual(file, "temporal_patch_size", views.temporalPatchSize, vision.temporalPatchSize);
    return;
  }
  const vision = spec.vision as Extract<ModelSpec["vision"], { kind: "fixed_resolution" }>;
  const { width, height } = viewSize(views);
  // A split frame's tiles may have pixels at the right and the bottom that fill no patch.
  const seen = (side: number) =>
    views.kind === "split" ? Math.floor(side / vision.patchSize) * vision.patchSize : side;
  const describe = (columns: number, rows: number) => `views of ${columns} x ${rows}`;
  requireEqual(
    file,
    "size",
    describe(seen(width), seen(height)),
    describe(vision.imageSize, vision.imageSize),
  );
}

function viewSize(views: Exclude<ViewPolicy, { kind: "smart_resize" }>) {
  if ("size" in views) return views.size;
  return { width: views.tile, height: views.tile };
}
