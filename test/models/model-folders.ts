import { closeSync, ftruncateSync, mkdirSync, openSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { modelConfig } from "../../src/models/families/families.js";
import type { ModelMapping, TensorLayout } from "../../src/models/families/family.js";
import { deriveKey, Random } from "../../src/random.js";
import { type FileTensor, tensorOf, writeTensorFile } from "../io/tensor-file.js";

/** A LLaVA-1.6 with every part, small: 3 published vision layers of which 2 are used, 2 decoder layers. */
export const smallLlavaNext = {
  model_type: "llava_next",
  image_token_index: 30,
  vision_config: {
    hidden_size: 8,
    intermediate_size: 16,
    num_hidden_layers: 3,
    num_attention_heads: 2,
    image_size: 8,
    patch_size: 4,
  },
  text_config: {
    model_type: "mistral",
    hidden_size: 16,
    intermediate_size: 24,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: 8,
    vocab_size: 32,
    sliding_window: null,
  },
};

/** A text-only model whose head is tied. */
export const smallTiedLlama = {
  model_type: "llama",
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  vocab_size: 32,
  tie_word_embeddings: true,
};

/** The configuration of llava-hf/llava-v1.6-mistral-7b-hf, as published. */
export const llava16Mistral = {
  architectures: ["LlavaNextForConditionalGeneration"],
  model_type: "llava_next",
  ignore_index: -100,
  image_token_index: 32_000,
  image_grid_pinpoints: [
    [336, 672],
    [672, 336],
    [672, 672],
    [1008, 336],
    [336, 1008],
  ],
  projector_hidden_act: "gelu",
  vision_feature_layer: -2,
  vision_feature_select_strategy: "default",
  use_image_newline_parameter: true,
  tie_word_embeddings: false,
  torch_dtype: "float16",
  text_config: {
    model_type: "mistral",
    intermediate_size: 14_336,
    max_position_embeddings: 32_768,
    num_key_value_heads: 8,
    rms_norm_eps: 1e-5,
    rope_theta: 1_000_000,
    sliding_window: null,
    vocab_size: 32_064,
  },
  vision_config: {
    model_type: "clip_vision_model",
    hidden_size: 1024,
    image_size: 336,
    intermediate_size: 4096,
    num_attention_heads: 16,
    num_hidden_layers: 24,
    patch_size: 14,
    projection_dim: 768,
  },
};

export function mappingOf(config: unknown): ModelMapping & { layout: TensorLayout } {
  const mapping = modelConfig.parse(config);
  return { ...mapping, layout: mapping.layout! };
}

/** Random numbers for every tensor of a layout, by a name of the caller's choice, in any of the types. */
export function randomTensors(
  layout: TensorLayout,
  dtype: "F32" | "F16" | "BF16" = "F32",
  rename: (name: string) => string = (name) => name,
): Record<string, FileTensor> {
  const random = new Random(deriveKey(7));
  return Object.fromEntries(
    layout.tensors.map(({ name, shape }) => {
      const count = shape.reduce((product, size) => product * size, 1);
      const values = Float32Array.from({ length: count }, () => random.integer(2001) / 1000 - 1);
      // The upper half of an fp32 is a bfloat16; as a half it is another number, but never NaN here.
      const halves = Uint16Array.from(new Uint32Array(values.buffer), (bits) => bits >>> 16);
      const data = dtype === "F32" ? values : halves.map((bits) => (dtype === "F16" ? bits & 0xbfff : bits));
      return [rename(name), tensorOf(dtype, shape, data)];
    }),
  );
}

/** Writes a model folder: in one file, or in several with an index. */
export function writeModel(
  folder: string,
  config: unknown,
  tensors: Readonly<Record<string, FileTensor>>,
  shards = 1,
): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  if (shards === 1) {
    writeTensorFile(join(folder, "model.safetensors"), tensors);
    return;
  }
  const weightMap: Record<string, string> = {};
  for (let shard = 0; shard < shards; shard++) {
    const file = `model-0000${shard + 1}-of-0000${shards}.safetensors`;
    const held = Object.entries(tensors).filter((_, i) => i % shards === shard);
    for (const [name] of held) weightMap[name] = file;
    writeTensorFile(join(folder, file), Object.fromEntries(held));
  }
  writeFileSync(
    join(folder, "model.safetensors.index.json"),
    JSON.stringify({ metadata: { total_size: 0 }, weight_map: weightMap }),
  );
}

/** Writes a file with the header of a model's tensors and, behind it, a hole: it has their size and takes no room. */
export function writeSparseFile(path: string, layout: TensorLayout, dtype: "F16" | "BF16"): void {
  let end = 0;
  const header: Record<string, unknown> = {};
  for (const { name, shape } of layout.tensors) {
    const bytes = 2 * shape.reduce((product, size) => product * size, 1);
    header[name] = { dtype, shape, data_offsets: [end, end + bytes] };
    end += bytes;
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const file = openSync(path, "w");
  writeSync(file, Buffer.concat([length, json]));
  ftruncateSync(file, 8 + json.length + end);
  closeSync(file);
}
