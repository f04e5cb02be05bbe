import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  CheckpointError,
  findOptimizerState,
  readCheckpoint,
  requireWeights,
  writeTextFiles,
} from "../../src/models/checkpoint.js";

const assets = fileURLToPath(new URL("../../assets/tiny-vlm", import.meta.url));

let scratch: string;
let folder: string;
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "sightline-"));
  folder = join(scratch, "model");
  cpSync(assets, folder, { recursive: true, filter: (path) => !path.endsWith(".safetensors") });
});
afterEach(() => rmSync(scratch, { recursive: true }));

function editJson(file: string, edit: (content: Record<string, unknown>) => void): void {
  const path = join(folder, file);
  const content = JSON.parse(readFileSync(path, "utf8"));
  edit(content);
  writeFileSync(path, JSON.stringify(content));
}

/** The error that reading the folder throws. */
async function problem(of: Promise<unknown> = readCheckpoint(folder)): Promise<CheckpointError> {
  const error = await of.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CheckpointError);
  return error as CheckpointError;
}

describe("readCheckpoint", () => {
  test("reads the tiny model's folder", async () => {
    const { spec, tokenizer, chatTemplate, imageProcessor } = await readCheckpoint(folder);
    expect(spec.decoder.vocabularySize).toBe(tokenizer.size);
    const { imageSize } = spec.vision;
    expect(imageProcessor.spec.views).toEqual({
      kind: "stretch",
      size: { width: imageSize, height: imageSize },
    });
    expect(chatTemplate.render([], true)).toBe("<bos> ASSISTANT:");
  });

  test("throws FOLDER_MISSING for a path that does not exist, or is a file", async () => {
    folder = join(scratch, "nowhere");
    expect(await problem()).toMatchObject({
      code: "FOLDER_MISSING",
      message: expect.stringContaining("does not exist"),
    });
    writeFileSync(folder, "");
    expect(await problem()).toMatchObject({
      code: "FOLDER_MISSING",
      message: expect.stringContaining("a file"),
    });
  });

  test.each(["config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"])(
    "throws FILE_MISSING with the path where %s is absent, and FILE_INVALID where it is not JSON",
    async (file) => {
      const path = join(folder, file);
      writeFileSync(path, "{");
      expect(await problem()).toMatchObject({ code: "FILE_INVALID", path });
      rmSync(path);
      expect(await problem()).toMatchObject({
        code: "FILE_MISSING",
        path,
        message: expect.stringContaining(path),
      });
    },
  );

  test("names every wrong field of a file at once", async () => {
    editJson("config.json", (config) => {
      delete config.image_token_id;
      config.eos_token_id = "2";
    });
    const { code, message } = await problem();
    expect(code).toBe("FILE_INVALID");
    expect(message).toContain("image_token_id: Invalid input: expected number, received undefined");
    expect(message).toContain("eos_token_id: Invalid input: expected number, received string");
  });

  test("throws FILE_INVALID with the reason for a template that cannot be parsed", async () => {
    editJson("tokenizer_config.json", (config) => {
      config.chat_template = "{% for %}";
    });
    const error = await problem();
    expect(error).toMatchObject({ code: "FILE_INVALID", path: join(folder, "tokenizer_config.json") });
    expect(error.cause).toBeInstanceOf(Error);
  });

  test("throws FILE_INVALID for an end token that is not in the vocabulary", async () => {
    editJson("tokenizer_config.json", (config) => {
      config.eos_token = "</s>";
    });
    expect(await problem()).toMatchObject({
      code: "FILE_INVALID",
      message: expect.stringContaining('received "</s>"'),
    });
  });

  test("throws FILE_INVALID for a tokenizer of another kind", async () => {
    editJson("tokenizer.json", (tokenizer) => {
      tokenizer.model = { type: "Unigram" };
    });
    expect(await problem()).toMatchObject({
      code: "FILE_INVALID",
      message: expect.stringContaining("model.type"),
    });
  });

  test.each([
    ["preprocessor_config.json", "size", { size: { height: 84, width: 84 } }],
    [
      "preprocessor_config.json",
      "channels",
      { do_grayscale: false, image_mean: [0, 0, 0], image_std: [1, 1, 1] },
    ],
    ["tokenizer_config.json", "id of eos_token", { eos_token: "<pad>" }],
  ])("throws FILES_DISAGREE where %s has another %s than config.json", async (file, field, change) => {
    editJson(file, (content) => Object.assign(content, change));
    expect(await problem()).toMatchObject({
      code: "FILES_DISAGREE",
      path: join(folder, file),
      message: expect.stringContaining(field),
    });
  });

  test("throws FILES_DISAGREE where the vocabulary has another size than config.json says", async () => {
    editJson("config.json", (config) => {
      (config.text_config as Record<string, unknown>).vocab_size = 513;
    });
    expect((await problem()).message).toContain("vocabulary size: expected 513 as config.json has it");
  });
});

describe("weights and optimizer state", () => {
  test("requireWeights gives the path, or throws FILE_MISSING with it", async () => {
    const path = join(folder, "model.safetensors");
    expect(await problem(requireWeights(folder))).toMatchObject({ code: "FILE_MISSING", path });
    writeFileSync(path, "");
    expect(await requireWeights(folder)).toBe(path);
  });

  test("findOptimizerState gives the path only where the file is", async () => {
    const path = join(folder, "optimizer.safetensors");
    expect(await findOptimizerState(folder)).toBeUndefined();
    writeFileSync(path, "");
    expect(await findOptimizerState(folder)).toBe(path);
  });
});

test("writeTextFiles copies the files as they were read, also after the folder is gone", async () => {
  const checkpoint = await readCheckpoint(folder);
  rmSync(folder, { recursive: true });
  const copy = join(scratch, "deep", "copy");
  await writeTextFiles(checkpoint, copy);
  expect(readdirSync(copy).sort()).toEqual([
    "config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
  ]);
  for (const file of readdirSync(copy)) {
    expect(readFileSync(join(copy, file), "utf8")).toBe(readFileSync(join(assets, file), "utf8"));
  }
});
