import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { ModelSpec } from "../native/model-spec.js";
import type { LoadSource } from "../native/types.js";
import { adapterBase, isAdapterFolder } from "./adapter-files.js";
import { ChatTemplate } from "./chat-template.js";
import { type DescribedModel, requireAgreement } from "./checkpoint-agreement.js";
import {
  checkpointFiles,
  type DescriptionFiles,
  isReadable,
  missingFile,
  orInvalid,
  parseJson,
  readDescriptions,
  requireFolder,
  textOf,
} from "./checkpoint-files.js";
import { tokenIds } from "./families/config-parts.js";
import { modelConfig } from "./families/families.js";
import { ImageProcessor } from "./image-processor.js";
import { imageProcessorConfig } from "./image-processor-config.js";
import { type ImageSettings, refuseImageSettings, withImageSettings } from "./image-settings.js";
import { publishedWeights, readValueHead } from "./published-weights.js";
import { Tokenizer } from "./tokenizer.js";

/** What a model folder describes, weights aside. */
export interface Checkpoint extends DescribedModel {
  /** Folder of the model itself: `folder`, or where that has an adapter, the folder that the adapter names. */
  readonly base: string;
  /** As read, so that new checkpoints can be written after the folder has moved. */
  readonly files: DescriptionFiles;
  /** Id of the token that begins texts; undefined where the vocabulary has none. */
  readonly beginToken: number | undefined;
  /** Null where the folder has none: then a prompt is its text as it is. */
  readonly chatTemplate: ChatTemplate | null;
  /** What it was told to do otherwise than the folder's files say. */
  readonly imageSettings: ImageSettings;
}

/** Name of a special token: a string, or an object with its settings. */
const tokenName = z
  .union([z.string(), z.looseObject({ content: z.string() }).transform(({ content }) => content)])
  .nullish();
const tokenNames = { bos_token: tokenName, eos_token: tokenName };

const tokenizerFile = z.looseObject({ model: z.looseObject({ type: z.literal("BPE") }) });
const specialTokensFile = z.looseObject(tokenNames);
const tokenizerConfigFile = z.looseObject({
  ...tokenNames,
  chat_template: z
    .union([z.string(), z.array(z.looseObject({ name: z.string(), template: z.string() }))])
    .nullish(),
});
const processorFile = z.looseObject({
  chat_template: z.string().nullish(),
  image_processor: z.looseObject({}).nullish(),
});
const generationFile = z.looseObject({ eos_token_id: tokenIds.nullish() });
const imageSettingsFile = z.strictObject({
  singleCrop: z.boolean().optional(),
  splitting: z.boolean().optional(),
  minPixels: z.int().min(1).optional(),
  maxPixels: z.int().min(1).optional(),
});

/**
 * Reads what describes the model of a folder in the layout of Hugging Face, or the model that a folder's adapter names.
 *
 * @param images what to change of how frames are processed; default: as the folder's files say
 * @throws CheckpointError where the folder, a file or a field is missing or wrong, or two files disagree
 * @throws ImageSettingError where a setting is not one of this model
 */
export async function readCheckpoint(folder: string, images: ImageSettings = {}): Promise<Checkpoint> {
  const base = (await isAdapterFolder(folder)) ? await adapterBase(folder) : folder;
  const files = await readDescriptions(base);
  const path = (file: string) => join(base, file);
  const parse = <Schema extends z.ZodType>(file: string, schema: Schema) => {
    const bytes = files.get(file);
    if (bytes === undefined) throw missingFile(path(file), "JSON");
    return parseJson(path(file), bytes, schema);
  };
  const parseIfThere = <Schema extends z.ZodType>(file: string, schema: Schema) =>
    files.has(file) ? parse(file, schema) : undefined;

  const mapping = parse(checkpointFiles.config, modelConfig);
  const tokenizerJson = parse(checkpointFiles.tokenizer, tokenizerFile);
  const tokenizerConfig = parse(checkpointFiles.tokenizerConfig, tokenizerConfigFile);
  const special = parseIfThere(checkpointFiles.specialTokens, specialTokensFile);
  const processor = parseIfThere(checkpointFiles.processor, processorFile);
  const beginToken = tokenizerConfig.bos_token ?? special?.bos_token ?? undefined;
  const endToken = tokenizerConfig.eos_token ?? special?.eos_token ?? undefined;

  const tokenizer = orInvalid(path(checkpointFiles.tokenizer), "expected a tokenizer", () => {
    return new Tokenizer(tokenizerJson, tokenizerConfig, {
      size: mapping.spec.decoder.vocabularySize,
      ...(beginToken !== undefined && { beginToken }),
    });
  });
  const idOf = (field: string, token: string | undefined) =>
    token === undefined
      ? undefined
      : orInvalid(path(checkpointFiles.tokenizerConfig), `expected ${field} in the vocabulary`, () =>
          tokenizer.tokenId(token),
        );
  const template = findTemplate();
  const generation = parseIfThere(checkpointFiles.generation, generationFile);
  const imageSettings = { ...(await readImageSettings(folder)), ...definedOnly(images) };
  const valueHead = mapping.layout === null ? undefined : await readValueHead(folder);
  const endTokenId = endTokenOf(mapping.spec, idOf("eos_token", endToken), generation?.eos_token_id);
  const checkpoint: Checkpoint = {
    ...mapping,
    spec: { ...mapping.spec, endTokenId, ...(valueHead && { valueHead }) },
    folder,
    base,
    files,
    tokenizer,
    beginToken: idOf("bos_token", beginToken),
    chatTemplate:
      template &&
      orInvalid(
        path(template.file),
        "expected a Jinja chat template",
        () => new ChatTemplate(template.source, { bos_token: beginToken, eos_token: endToken }),
      ),
    imageProcessor: readImageProcessor(),
    imageSettings,
  };
  requireAgreement(checkpoint, mapping.spec.endTokenId);
  return checkpoint;

  /** The template of the newest of the forms that it has been published in. */
  function findTemplate(): { file: string; source: string } | null {
    const jinja = files.get(checkpointFiles.chatTemplate);
    if (jinja !== undefined) return { file: checkpointFiles.chatTemplate, source: textOf(jinja) };
    const own = parseIfThere(checkpointFiles.chatTemplateJson, z.looseObject({ chat_template: z.string() }));
    if (own !== undefined) return { file: checkpointFiles.chatTemplateJson, source: own.chat_template };
    if (processor?.chat_template != null) {
      return { file: checkpointFiles.processor, source: processor.chat_template };
    }
    const among = tokenizerConfig.chat_template;
    const source = Array.isArray(among) ? among.find(({ name }) => name === "default")?.template : among;
    return source == null ? null : { file: checkpointFiles.tokenizerConfig, source };
  }

  function readImageProcessor(): ImageProcessor | null {
    if (mapping.image === null) {
      refuseImageSettings(imageSettings);
      return null;
    }
    const spec = processor?.image_processor
      ? parse(
          checkpointFiles.processor,
          z.looseObject({ image_processor: imageProcessorConfig }).transform((file) => file.image_processor),
        )
      : parse(checkpointFiles.preprocessor, imageProcessorConfig);
    return new ImageProcessor(withImageSettings(spec, imageSettings));
  }
}

/** Settings that are there, without those that are undefined. */
function definedOnly(settings: ImageSettings): ImageSettings {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
}

/** What a run before has set: part of what its weights were trained for. */
async function readImageSettings(folder: string): Promise<ImageSettings> {
  const path = join(folder, checkpointFiles.imageSettings);
  if (!(await isReadable(path))) return {};
  return definedOnly(parseJson(path, await readFile(path), imageSettingsFile));
}

/**
 * The token that ends a response: the tokenizer's, unless generation is said to end with others; what `config.json` says only where
 * both are silent, as published files may hold the value of another model there.
 */
function endTokenOf(
  spec: ModelSpec,
  ofTokenizer: number | undefined,
  ofGeneration: number | number[] | null | undefined,
): number {
  const listed = [ofGeneration ?? []].flat();
  if (ofTokenizer !== undefined && (listed.length === 0 || listed.includes(ofTokenizer))) return ofTokenizer;
  return listed[0] ?? spec.endTokenId;
}

/**
 * What the weights of a checkpoint's folder are loaded from, found out from the headers of its files.
 *
 * @param folder of the checkpoint, or of another of the same model
 * @throws CheckpointError where a file is missing or broken, or its tensors are not those of the model
 */
export async function findWeights(
  { spec, layout }: Checkpoint,
  folder: string,
): Promise<LoadSource["model"]> {
  if (layout !== null) return publishedWeights({ spec, layout }, folder);
  await requireFolder(folder);
  const path = join(folder, checkpointFiles.weights);
  if (!(await isReadable(path))) throw missingFile(path, "the model's weights");
  return path;
}

/** Path of the folder's optimizer state, undefined where it has none. */
export async function findOptimizerState(folder: string): Promise<string | undefined> {
  const path = join(folder, checkpointFiles.optimizer);
  return (await isReadable(path)) ? path : undefined;
}

/**
 * Writes all but weights and optimizer state to a folder, which is created where it is missing.
 *
 * @param kind of an adapter, the files that describe its model stay where they are
 */
export async function writeTextFiles(
  checkpoint: Checkpoint,
  folder: string,
  kind: "whole" | "adapter",
): Promise<void> {
  await mkdir(folder, { recursive: true });
  if (kind === "whole") {
    for (const [file, bytes] of checkpoint.files) await writeFile(join(folder, file), bytes);
  }
  const { imageSettings } = checkpoint;
  if (Object.keys(imageSettings).length > 0) {
    const path = join(folder, checkpointFiles.imageSettings);
    await writeFile(path, `${JSON.stringify(imageSettings, undefined, 2)}\n`);
  }
}
