import { constants } from "node:fs";
import { access, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { ImageSize } from "../native/types.js";
import { ChatTemplate } from "./chat-template.js";
import { ImageProcessor } from "./image-processor.js";
import { imageProcessorConfig } from "./image-processor-config.js";
import { type TinyVlmSpec, tinyVlmConfig } from "./tiny-vlm.js";
import { Tokenizer } from "./tokenizer.js";

/** The files of a model folder; `optimizer` only in the checkpoints of a run. */
export const checkpointFiles = {
  config: "config.json",
  preprocessor: "preprocessor_config.json",
  tokenizer: "tokenizer.json",
  tokenizerConfig: "tokenizer_config.json",
  weights: "model.safetensors",
  optimizer: "optimizer.safetensors",
} as const;

/** Everything that makes a model but its numbers: the same in all checkpoints of a run. */
const textFiles = [
  checkpointFiles.config,
  checkpointFiles.preprocessor,
  checkpointFiles.tokenizer,
  checkpointFiles.tokenizerConfig,
] as const;

type TextFile = (typeof textFiles)[number];

export type CheckpointErrorCode = "FOLDER_MISSING" | "FILE_MISSING" | "FILE_INVALID" | "FILES_DISAGREE";

/** A model folder that cannot be used; the message names the file and what was expected of it. */
export class CheckpointError extends Error {
  constructor(
    readonly code: CheckpointErrorCode,
    readonly path: string,
    problem: string,
    options?: ErrorOptions,
  ) {
    super(`${path}: ${problem}`, options);
    this.name = "CheckpointError";
  }
}

/** What a model folder describes, weights aside. */
export interface Checkpoint {
  readonly folder: string;
  /** The text files as read, so that new checkpoints can be written after the folder has moved. */
  readonly texts: Readonly<Record<TextFile, string>>;
  readonly spec: TinyVlmSpec;
  readonly tokenizer: Tokenizer;
  /** Id of the tokenizer's bos_token. */
  readonly beginToken: number;
  readonly chatTemplate: ChatTemplate;
  readonly imageProcessor: ImageProcessor;
}

const tokenizerFile = z.looseObject({ model: z.looseObject({ type: z.literal("BPE") }) });

const tokenizerConfigFile = z.looseObject({
  bos_token: z.string(),
  eos_token: z.string(),
  chat_template: z.string(),
});

/**
 * Reads the text files of a model folder in the layout of Hugging Face.
 *
 * @throws CheckpointError where the folder, a file or a field is missing or wrong, or two files disagree
 */
export async function readCheckpoint(folder: string): Promise<Checkpoint> {
  await requireFolder(folder);
  const path = (file: TextFile) => join(folder, file);
  const { config, preprocessor, tokenizer, tokenizerConfig } = checkpointFiles;
  const texts = {
    [config]: await readText(path(config)),
    [preprocessor]: await readText(path(preprocessor)),
    [tokenizer]: await readText(path(tokenizer)),
    [tokenizerConfig]: await readText(path(tokenizerConfig)),
  };
  const parse = <Schema extends z.ZodType>(file: TextFile, schema: Schema) =>
    parseJson(path(file), texts[file], schema);

  const tokenizerJson = parse(tokenizer, tokenizerFile);
  const settings = parse(tokenizerConfig, tokenizerConfigFile);
  const readTokenizer = orInvalid(
    path(tokenizer),
    "expected a tokenizer",
    () => new Tokenizer(tokenizerJson, settings),
  );
  const checkpoint: Checkpoint = {
    folder,
    texts,
    spec: parse(config, tinyVlmConfig),
    imageProcessor: new ImageProcessor(parse(preprocessor, imageProcessorConfig)),
    tokenizer: readTokenizer,
    beginToken: orInvalid(path(tokenizerConfig), "expected bos_token in the vocabulary", () =>
      readTokenizer.tokenId(settings.bos_token),
    ),
    chatTemplate: orInvalid(
      path(tokenizerConfig),
      "expected a Jinja template as chat_template",
      () => new ChatTemplate(settings.chat_template, settings),
    ),
  };
  requireAgreement(checkpoint, settings.eos_token);
  return checkpoint;
}

/**
 * Path of the folder's weights.
 *
 * @throws CheckpointError `FILE_MISSING`
 */
export async function requireWeights(folder: string): Promise<string> {
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

/** Writes all but weights and optimizer state to a folder, which is created where it is missing. */
export async function writeTextFiles(checkpoint: Checkpoint, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const file of textFiles) await writeFile(join(folder, file), checkpoint.texts[file]);
}

async function requireFolder(folder: string): Promise<void> {
  const found = await stat(folder).catch(() => undefined);
  if (found === undefined || !found.isDirectory()) {
    throw new CheckpointError(
      "FOLDER_MISSING",
      folder,
      `expected a model folder with ${textFiles.join(", ")}, ` +
        `received ${found === undefined ? "a path that does not exist" : "a file"}`,
    );
  }
}

async function isReadable(path: string): Promise<boolean> {
  return access(path, constants.R_OK).then(
    () => true,
    () => false,
  );
}

function missingFile(path: string, role: string, cause?: unknown): CheckpointError {
  return new CheckpointError(
    "FILE_MISSING",
    path,
    `expected a readable file with ${role}, found none`,
    cause === undefined ? {} : { cause },
  );
}

async function readText(path: string): Promise<string> {
  return readFile(path, "utf8").catch((cause: unknown) => {
    throw missingFile(path, "JSON", cause);
  });
}

function parseJson<Schema extends z.ZodType>(path: string, text: string, schema: Schema): z.output<Schema> {
  const content: unknown = orInvalid(path, "expected JSON", () => JSON.parse(text));
  const result = schema.safeParse(content);
  if (!result.success) {
    const problems = result.error.issues.map(
      (issue) => `${issue.path.join(".") || "(root)"}: ${issue.message}`,
    );
    throw new CheckpointError("FILE_INVALID", path, problems.join("; "));
  }
  return result.data;
}

/** Runs `build`; what it throws becomes the cause of a CheckpointError. */
function orInvalid<T>(path: string, expected: string, build: () => T): T {
  try {
    return build();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CheckpointError("FILE_INVALID", path, `${expected} (${reason})`, { cause });
  }
}

/** The files are edited apart but describe one model. */
function requireAgreement(checkpoint: Checkpoint, endToken: string): void {
  const { folder, spec, tokenizer, imageProcessor } = checkpoint;
  const requireEqual = <Value extends number | string>(
    file: string,
    field: string,
    received: Value,
    expected: Value,
  ) => {
    if (received === expected) return;
    throw new CheckpointError(
      "FILES_DISAGREE",
      join(folder, file),
      `${field}: expected ${expected} as ${checkpointFiles.config} has it, received ${received}`,
    );
  };
  const { preprocessor, tokenizer: tokenizerJson, tokenizerConfig } = checkpointFiles;
  const { channels, views } = imageProcessor.spec;
  const { imageSize } = spec.vision;
  const describe = ({ width, height }: ImageSize) => `one view of ${width} x ${height}`;
  requireEqual(
    preprocessor,
    "size",
    "size" in views ? describe(views.size) : `views of the kind "${views.kind}"`,
    describe({ width: imageSize, height: imageSize }),
  );
  requireEqual(preprocessor, "channels", channels, spec.vision.channels);
  requireEqual(tokenizerJson, "vocabulary size", tokenizer.size, spec.decoder.vocabularySize);
  const endTokenId = orInvalid(join(folder, tokenizerConfig), "expected eos_token in the vocabulary", () =>
    tokenizer.tokenId(endToken),
  );
  requireEqual(tokenizerConfig, "id of eos_token", endTokenId, spec.endTokenId);
}
