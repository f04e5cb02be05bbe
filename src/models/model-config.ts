import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { checkpointFiles, isReadable, missingFile, parseJson, requireFolder } from "./checkpoint-files.js";
import { modelConfig } from "./families/families.js";
import type { ModelMapping } from "./families/family.js";
import { ImageProcessor } from "./image-processor.js";
import { imageProcessorConfig } from "./image-processor-config.js";

/** What a model folder says without its tokenizer: enough to account for its tensors. */
export interface ModelConfig extends ModelMapping {
  /** `model_type` of `config.json`. */
  readonly modelType: string;
}

/** @throws CheckpointError FOLDER_MISSING, FILE_MISSING, FILE_INVALID */
export async function readModelConfig(folder: string): Promise<ModelConfig> {
  await requireFolder(folder);
  const path = join(folder, checkpointFiles.config);
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw missingFile(path, "a model's configuration", cause);
  });
  const { model_type: modelType } = parseJson(path, bytes, z.looseObject({ model_type: z.string() }));
  return { ...parseJson(path, bytes, modelConfig), modelType };
}

/**
 * How a folder's model sees frames; undefined where the folder does not say.
 *
 * @throws CheckpointError FILE_INVALID
 */
export async function readImageProcessor(folder: string): Promise<ImageProcessor | undefined> {
  const processor = join(folder, checkpointFiles.processor);
  if (await isReadable(processor)) {
    const nested = z.looseObject({ image_processor: z.unknown().optional() });
    const { image_processor: own } = parseJson(processor, await readFile(processor), nested);
    if (own != null) {
      const file = z.looseObject({ image_processor: imageProcessorConfig });
      return new ImageProcessor(parseJson(processor, await readFile(processor), file).image_processor);
    }
  }
  const preprocessor = join(folder, checkpointFiles.preprocessor);
  if (!(await isReadable(preprocessor))) return undefined;
  return new ImageProcessor(parseJson(preprocessor, await readFile(preprocessor), imageProcessorConfig));
}
