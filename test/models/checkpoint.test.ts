import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  findOptimizerState,
  findWeights,
  readCheckpoint,
  writeTextFiles,
} from "../../src/models/checkpoint.js";
import { CheckpointError } from "../../src/models/checkpoint-error.js";
import type { ImageSettings } from "../../src/models/image-settings.js";
import type { FixedResolutionSpec } from "../../src/native/model-spec.js";

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
    const { imageSize } = spec.vision as FixedResolutionSpec;
    expect(imageProcessor!.spec.views).toEqual({
      kind: "stretch",
      size: { width: imageSize, height: imageSize },
    });
    expect(chatTemplate!.render([], true)).toBe("<bos> ASSISTANT:");
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
  test("findWeights gives the path, or throws FILE_MISSING with it", async () => {
    const path = join(folder, "model.safetensors");
    const checkpoint = await readCheckpoint(folder);
    expect(await problem(findWeights(checkpoint, folder))).toMatchObject({ code: "FILE_MISSING", path });
    writeFileSync(path, "");
    expect(await findWeights(checkpoint, folder)).toBe(path);
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
  await writeTextFiles(checkpoint, copy, "whole");
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

describe("a folder as Transformers writes it", () => {
  const golden = fileURLToPath(new URL("../golden/prompts", import.meta.url));
  /** Takes the place of the folder. */
  const take = (name: string) => {
    rmSync(folder, { recursive: true });
    cpSync(join(golden, name), folder, { recursive: true });
  };
  const write = (file: string, content: unknown) =>
    writeFileSync(join(folder, file), JSON.stringify(content));
  const readJson = (file: string) => JSON.parse(readFileSync(join(folder, file), "utf8"));

  test("holds the image processor's settings in one of two files", async () => {
    take("llava-next");
    const { imageProcessor } = await readCheckpoint(folder);
    const { image_processor, ...processor } = readJson("processor_config.json");
    write("preprocessor_config.json", image_processor);
    write("processor_config.json", processor);
    expect((await readCheckpoint(folder)).imageProcessor!.spec).toEqual(imageProcessor!.spec);
    rmSync(join(folder, "processor_config.json"));
    expect((await readCheckpoint(folder)).imageProcessor!.spec).toEqual(imageProcessor!.spec);
    rmSync(join(folder, "preprocessor_config.json"));
    expect(await problem()).toMatchObject({ code: "FILE_MISSING" });
    write("processor_config.json", { image_processor: { ...image_processor, resample: 9 } });
    expect((await problem()).message).toContain("image_processor.resample");
  });

  test("holds the chat template in one of five places, the newest first", async () => {
    take("llama");
    const render = async () => (await readCheckpoint(folder)).chatTemplate?.render([], true);
    const config = readJson("tokenizer_config.json");
    rmSync(join(folder, "chat_template.jinja"));
    expect(await render()).toBeUndefined();
    write("tokenizer_config.json", {
      ...config,
      chat_template: [
        { name: "tool_use", template: "tools" },
        { name: "default", template: "of a list" },
      ],
    });
    expect(await render()).toBe("of a list");
    write("tokenizer_config.json", { ...config, chat_template: "{{ bos_token }}of the tokenizer" });
    expect(await render()).toBe("<s>of the tokenizer");
    write("processor_config.json", { chat_template: "of the processor" });
    expect(await render()).toBe("of the processor");
    write("chat_template.json", { chat_template: "of its own" });
    expect(await render()).toBe("of its own");
    writeFileSync(join(folder, "chat_template.jinja"), "of Jinja");
    expect(await render()).toBe("of Jinja");
  });

  test("may name special tokens as objects, or in a file of their own", async () => {
    take("llama");
    const { bos_token, eos_token, ...config } = readJson("tokenizer_config.json");
    write("tokenizer_config.json", { ...config, bos_token: { content: "<s>", lstrip: false } });
    write("special_tokens_map.json", { bos_token: "</s>", eos_token: "</s>" });
    expect(await readCheckpoint(folder)).toMatchObject({ beginToken: 1, spec: { endTokenId: 2 } });
  });

  test.each([
    ["</s>", undefined, 2],
    ["</s>", [7, 2], 2],
    ["</s>", [7, 8], 7],
    [null, 7, 7],
    [null, undefined, 2],
  ])("with eos_token %s and generation to end at %j ends responses with %i", async (token, ids, end) => {
    take("llama");
    editJson("tokenizer_config.json", (config) => {
      config.eos_token = token;
    });
    if (ids !== undefined) write("generation_config.json", { eos_token_id: ids, temperature: 0.2 });
    expect((await readCheckpoint(folder)).spec.endTokenId).toBe(end);
  });

  test("of the authors of LLaVA takes the conversion's tokenizer, whose image token it has not", async () => {
    take("llava");
    const { spec, tokenizer } = await readCheckpoint(folder);
    const id = tokenizer.tokenId("<image>");
    expect(spec.imageTokenId).toBe(id);
    editJson("config.json", (config) => {
      (config.text_config as Record<string, unknown>).vocab_size = id;
      config.image_token_index = 0;
    });
    expect((await readCheckpoint(folder)).spec.imageTokenId).toBe(0);
    editJson("config.json", (config) => {
      (config.text_config as Record<string, unknown>).vocab_size = 512;
    });
    expect(await problem()).toMatchObject({
      code: "FILES_DISAGREE",
      message: expect.stringContaining(`id of <image>: expected 0 as config.json has it, received ${id}`),
    });
  });

  test("is refused where its image processor is of another family", async () => {
    take("smolvlm");
    const smolvlm = readJson("processor_config.json");
    take("llava");
    write("processor_config.json", smolvlm);
    expect(await problem()).toMatchObject({
      code: "FILES_DISAGREE",
      message: expect.stringContaining('received "split"'),
    });
    take("llava");
    const anyResolution = JSON.parse(readFileSync(join(golden, "llava-next/processor_config.json"), "utf8"));
    write("processor_config.json", anyResolution);
    expect((await problem()).message).toContain('received "any_resolution"');
  });

  describe("with images to be processed otherwise", () => {
    const viewsOf = async (images?: ImageSettings) =>
      (await readCheckpoint(folder, images)).imageProcessor!.spec.views;

    test("takes the settings of its family", async () => {
      take("llava-next");
      expect(await viewsOf({ singleCrop: true })).toMatchObject({ kind: "center_crop", shortestEdge: 32 });
      take("smolvlm");
      expect(await viewsOf({ splitting: false })).toMatchObject({ kind: "split", split: false });
      take("qwen2-5-vl");
      expect(await viewsOf({ maxPixels: 4000 })).toMatchObject({ minPixels: 3136, maxPixels: 4000 });
      expect(await viewsOf({ minPixels: 3500 })).toMatchObject({ minPixels: 3500, maxPixels: 12_544 });
    });

    test.each([
      ["smolvlm", { singleCrop: true }, "singleCrop"],
      ["llava", { splitting: false }, "splitting"],
      ["llava-next", { maxPixels: 100 }, "maxPixels"],
      ["qwen2-5-vl", { minPixels: 20_000 }, "minPixels"],
      ["llama", { singleCrop: true }, "singleCrop"],
    ] as const)("%s refuses %j", async (name, images, setting) => {
      take(name);
      await expect(readCheckpoint(folder, images)).rejects.toMatchObject({
        name: "ImageSettingError",
        code: "INVALID_IMAGE_SETTING",
        setting,
      });
    });

    test("is so again when it is written and read", async () => {
      take("smolvlm");
      const copy = join(scratch, "copy");
      await writeTextFiles(await readCheckpoint(folder, { splitting: false }), copy, "whole");
      const { imageSettings, imageProcessor } = await readCheckpoint(copy);
      expect(imageSettings).toEqual({ splitting: false });
      expect(imageProcessor!.spec.views).toMatchObject({ split: false });
      expect((await readCheckpoint(copy, { splitting: true })).imageSettings).toEqual({ splitting: true });
    });
  });

  test("is written again byte for byte, with its licence and without what is ours or another's", async () => {
    take("qwen2-5-vl");
    const bytes = Buffer.from([0xff, 0x00, 0x0a]);
    for (const file of ["LICENSE", "tokenizer.model"]) writeFileSync(join(folder, file), bytes);
    for (const file of ["state.json", "README.md", "adapter_config.json", "model.safetensors"]) {
      writeFileSync(join(folder, file), "{}");
    }
    const copy = join(scratch, "copy");
    await writeTextFiles(await readCheckpoint(folder), copy, "whole");
    expect(readdirSync(copy).sort()).toEqual([
      "LICENSE",
      "chat_template.json",
      "config.json",
      "preprocessor_config.json",
      "tokenizer.json",
      "tokenizer.model",
      "tokenizer_config.json",
    ]);
    for (const file of readdirSync(copy)) {
      expect(readFileSync(join(copy, file)).equals(readFileSync(join(folder, file)))).toBe(true);
    }
  });
});
