/** The files of a model folder: which there are, reading them, and what can be wrong with them. */
import { constants } from "node:fs";
import { access, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { z } from "zod";
import { CheckpointError } from "./checkpoint-error.js";

/** The files of a model folder by their roles; `optimizer` only in the checkpoints of a run. */
export const checkpointFiles = {
  config: "config.json",
  generation: "generation_config.json",
  preprocessor: "preprocessor_config.json",
  processor: "processor_config.json",
  tokenizer: "tokenizer.json",
  tokenizerConfig: "tokenizer_config.json",
  specialTokens: "special_tokens_map.json",
  chatTemplate: "chat_template.jinja",
  chatTemplateJson: "chat_template.json",
  /** Ours: what a run has changed of how images are processed. */
  imageSettings: "image_settings.json",
  weights: "model.safetensors",
  optimizer: "optimizer.safetensors",
} as const;

/** Files that describe a model to any program that loads it, numbers aside, and its licence. */
const descriptions = [
  /^(generation_|(video_)?preprocessor_|processor_|tokenizer_)?config\.json$/,
  /^(tokenizer|special_tokens_map|added_tokens|vocab|chat_template)\.json$/,
  /^(merges\.txt|chat_template\.jinja|.+\.model)$/,
  /^(LICENSE|LICENCE|NOTICE)(\.\w+)?$/i,
];

/** What describes a model, byte for byte, by file name. */
export type DescriptionFiles = ReadonlyMap<string, Uint8Array>;

/** @throws CheckpointError `FOLDER_MISSING`, `FILE_MISSING` */
export async function readDescriptions(folder: string): Promise<DescriptionFiles> {
  await requireFolder(folder);
  const names = (await readdir(folder)).filter((name) => descriptions.some((pattern) => pattern.test(name)));
  const read = async (name: string) => [name, await readBytes(join(folder, name))] as const;
  return new Map(await Promise.all(names.sort().map(read)));
}

async function readBytes(path: string): Promise<Uint8Array> {
  return readFile(path).catch((cause: unknown) => {
    throw missingFile(path, "a part of the model's description", cause);
  });
}

/** @throws CheckpointError `FOLDER_MISSING` */
export async function requireFolder(folder: string): Promise<void> {
  const found = await stat(folder).catch(() => undefined);
  if (found === undefined || !found.isDirectory()) {
    throw new CheckpointError(
      "FOLDER_MISSING",
      folder,
      `expected a model folder with ${checkpointFiles.config}, ${checkpointFiles.tokenizer} and weights, ` +
        `received ${found === undefined ? "a path that does not exist" : "a file"}`,
    );
  }
}

export async function isReadable(path: string): Promise<boolean> {
  return access(path, constants.R_OK).then(
    () => true,
    () => false,
  );
}

/** @param role what the file is to hold */
export function missingFile(path: string, role: string, cause?: unknown): CheckpointError {
  return new CheckpointError(
    "FILE_MISSING",
    path,
    `expected a readable file with ${role}, found none`,
    cause === undefined ? {} : { cause },
  );
}

/**
 * The content of a JSON file, checked.
 *
 * @throws CheckpointError `FILE_INVALID` with every problem of it
 */
export function parseJson<Schema extends z.ZodType>(
  path: string,
  bytes: Uint8Array,
  schema: Schema,
): z.output<Schema> {
  const content: unknown = orInvalid(path, "expected JSON", () => JSON.parse(textOf(bytes)));
  const result = schema.safeParse(content);
  if (!result.success) {
    const problems = result.error.issues.map(
      (issue) => `${issue.path.join(".") || "(root)"}: ${issue.message}`,
    );
    throw new CheckpointError("FILE_INVALID", path, problems.join("; "));
  }
  return result.data;
}

export function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** Runs `build`; what it throws becomes the cause of a CheckpointError. */
export function orInvalid<T>(path: string, expected: string, build: () => T): T {
  try {
    return build();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CheckpointError("FILE_INVALID", path, `${expected} (${reason})`, { cause });
  }
}
