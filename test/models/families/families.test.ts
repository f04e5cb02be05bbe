import { describe, expect, test } from "vitest";
import { modelConfig } from "../../../src/models/families/families.js";
import type { ModelMapping } from "../../../src/models/families/family.js";
import { knownMappings } from "../../../src/models/known-models.js";

type Json = Record<string, unknown>;

const clip: Json = {
  model_type: "clip_vision_model",
  hidden_size: 1024,
  image_size: 336,
  intermediate_size: 4096,
  num_attention_heads: 16,
  num_hidden_layers: 24,
  patch_size: 14,
  projection_dim: 768,
};

/** What the file of llava-v1.6-mistral-7b-hf holds; much of the decoder is left to the defaults of its class. */
const llavaNext: Json = {
  architectures: ["LlavaNextForConditionalGeneration"],
  ignore_index: -100,
  image_grid_pinpoints: [[336, 672]],
  image_token_index: 32_000,
  model_type: "llava_next",
  projector_hidden_act: "gelu",
  text_config: {
    _name_or_path: "a decoder",
    architectures: ["MistralForCausalLM"],
    intermediate_size: 14_336,
    max_position_embeddings: 32_768,
    model_type: "mistral",
    num_key_value_heads: 8,
    rms_norm_eps: 1e-5,
    rope_theta: 1_000_000,
    sliding_window: null,
    torch_dtype: "bfloat16",
    vocab_size: 32_064,
  },
  tie_word_embeddings: false,
  torch_dtype: "float16",
  use_image_newline_parameter: true,
  vision_config: clip,
  vision_feature_layer: -2,
  vision_feature_select_strategy: "default",
};

/** What the authors' file of llava-v1.6-mistral-7b holds. */
const llavaOriginal: Json = {
  architectures: ["LlavaMistralForCausalLM"],
  attention_bias: false,
  bos_token_id: 1,
  eos_token_id: 2,
  hidden_act: "silu",
  hidden_size: 4096,
  image_aspect_ratio: "anyres",
  intermediate_size: 14_336,
  max_position_embeddings: 32_768,
  mm_hidden_size: 1024,
  mm_patch_merge_type: "spatial_unpad",
  mm_projector_type: "mlp2x_gelu",
  mm_use_im_patch_token: false,
  mm_use_im_start_end: false,
  mm_vision_select_feature: "patch",
  mm_vision_select_layer: -2,
  mm_vision_tower: "openai/clip-vit-large-patch14-336",
  model_type: "llava_mistral",
  num_attention_heads: 32,
  num_hidden_layers: 32,
  num_key_value_heads: 8,
  rms_norm_eps: 1e-5,
  rope_scaling: null,
  rope_theta: 1_000_000,
  sliding_window: null,
  tie_word_embeddings: false,
  unfreeze_mm_vision_tower: true,
  vocab_size: 32_000,
};

const qwen: Json = {
  model_type: "qwen2_5_vl",
  hidden_size: 2048,
  intermediate_size: 11_008,
  num_hidden_layers: 36,
  num_attention_heads: 16,
  num_key_value_heads: 2,
  vocab_size: 151_936,
  tie_word_embeddings: true,
  max_position_embeddings: 128_000,
  max_window_layers: 70,
  rms_norm_eps: 1e-6,
  rope_theta: 1_000_000,
  rope_scaling: { type: "mrope", mrope_section: [16, 24, 24] },
  sliding_window: 32_768,
  use_sliding_window: false,
  eos_token_id: 151_645,
  image_token_id: 151_655,
  vision_config: {
    depth: 32,
    hidden_act: "silu",
    hidden_size: 1280,
    intermediate_size: 3420,
    num_heads: 16,
    in_chans: 3,
    out_hidden_size: 2048,
    spatial_patch_size: 14,
    window_size: 112,
    fullatt_block_indexes: [7, 15, 23, 31],
    tokens_per_second: 2,
  },
};

const smolVlm: Json = {
  model_type: "smolvlm",
  image_token_id: 49_190,
  scale_factor: 4,
  tie_word_embeddings: false,
  text_config: {
    model_type: "llama",
    architectures: ["VLlama3ForCausalLM"],
    hidden_size: 576,
    intermediate_size: 1536,
    is_llama_config: true,
    num_attention_heads: 9,
    num_hidden_layers: 30,
    num_key_value_heads: 3,
    max_position_embeddings: 8192,
    qk_layer_norms: false,
    rms_norm_eps: 1e-5,
    rope_interleaved: false,
    rope_theta: 100_000,
    use_resampler: false,
    vocab_size: 49_280,
  },
  vision_config: {
    hidden_size: 768,
    intermediate_size: 3072,
    num_hidden_layers: 12,
    num_attention_heads: 12,
    image_size: 512,
    patch_size: 16,
    max_image_size: { longest_edge: 512 },
    size: { longest_edge: 2048 },
  },
};

const mistral: Json = {
  model_type: "mistral",
  hidden_size: 64,
  intermediate_size: 128,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  num_hidden_layers: 3,
  max_position_embeddings: 1024,
  vocab_size: 100,
};

const configs: Record<string, Json> = { llavaNext, llavaOriginal, qwen, smolVlm, mistral };

/** The content with one value, named by its path, changed. */
function changed(content: Json, path: string, value: unknown): Json {
  const copy = structuredClone(content);
  const keys = path.split(".");
  const last = keys.pop()!;
  const owner = keys.reduce((object, key) => {
    object[key] ??= {};
    return object[key] as Json;
  }, copy);
  owner[last] = value;
  return copy;
}

const total = ({ layout }: ModelMapping) =>
  layout!.tensors.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);

describe("parameters of a complete checkpoint", () => {
  test.each([
    ["llava-1.5-7b", 7_063_427_072],
    ["llava-v1.6-mistral-7b", 7_566_747_648],
    ["qwen2.5-vl-3b", 3_754_622_976],
    ["qwen2.5-vl-7b", 8_292_166_656],
    ["smolvlm-256m", 256_484_928],
    ["smolvlm2-500m", 507_482_304],
    ["smolvlm2-2.2b", 2_246_784_880],
  ])("%s has %i", (name, parameters) => {
    expect(total(knownMappings[name]!)).toBe(parameters);
  });

  test("the authors' LLaVA-1.6 has 64 tokens fewer", () => {
    expect(total(modelConfig.parse(llavaOriginal))).toBe(7_566_223_360);
  });
});

describe("config.json", () => {
  test("leaves to the class's defaults what it does not say", () => {
    expect(modelConfig.parse(llavaNext).spec).toEqual(knownMappings["llava-v1.6-mistral-7b"]!.spec);
    expect(modelConfig.parse(qwen).spec).toEqual(knownMappings["qwen2.5-vl-3b"]!.spec);
    const { decoder } = modelConfig.parse(llavaNext).spec;
    expect(decoder).toMatchObject({ width: 4096, layers: 32, heads: 32, headSize: 128 });
  });

  test("of the authors describes what the conversion does, but for tokens that were added", () => {
    const { spec } = modelConfig.parse(llavaOriginal);
    const converted = knownMappings["llava-v1.6-mistral-7b"]!.spec;
    expect(spec).toEqual({
      ...converted,
      decoder: { ...converted.decoder, vocabularySize: 32_000 },
      imageTokenId: 0,
    });
    // The oldest of the authors' files have the name that Transformers uses.
    const older = modelConfig.parse({
      ...llavaOriginal,
      model_type: "llava",
      mm_patch_merge_type: undefined,
    });
    expect(older.spec.projector!.newline).toBe(false);
  });

  test("may hold the decoder's keys beside those of the encoder, or in text_config, which comes first", () => {
    const { vision_config, model_type, image_token_id, tie_word_embeddings, ...text } = qwen;
    const nested = { vision_config, model_type, image_token_id, tie_word_embeddings, text_config: text };
    expect(modelConfig.parse(nested).spec).toEqual(modelConfig.parse(qwen).spec);
    expect(modelConfig.parse({ ...nested, vocab_size: 7 }).spec.decoder.vocabularySize).toBe(151_936);
  });

  test("may call rotary positions rope_parameters, and the image token by two names", () => {
    const { rope_theta, rope_scaling, ...rest } = qwen;
    const rope_parameters = { rope_theta, rope_type: "default", mrope_section: [16, 24, 24] };
    expect(modelConfig.parse({ ...rest, rope_parameters }).spec).toEqual(modelConfig.parse(qwen).spec);
    const { image_token_index, ...named } = llavaNext;
    expect(modelConfig.parse({ ...named, image_token_id: 77 }).spec.imageTokenId).toBe(77);
  });

  test.each([
    ["mistral", "tie_word_embeddings", true, true],
    ["mistral", "tie_word_embeddings", undefined, false],
    ["llavaNext", "text_config.tie_word_embeddings", true, true],
    ["smolVlm", "text_config.tie_word_embeddings", true, false],
    ["qwen", "text_config.tie_word_embeddings", false, true],
    ["qwen", "tie_word_embeddings", false, false],
  ])("%s with %s %s has a tied head: %s", (name, path, value, tied) => {
    const { spec, layout } = modelConfig.parse(changed(configs[name]!, path, value));
    expect(spec.decoder.tiedHead).toBe(tied);
    const names = layout!.tensors.map((tensor) => tensor.name);
    expect(names.some((tensor) => tensor.endsWith("lm_head.weight"))).toBe(!tied);
    expect(Object.keys(layout!.copies).length).toBe(tied ? 1 : 0);
  });

  test.each([
    [{}, 1024],
    [{ sliding_window: 256 }, 256],
    [{ sliding_window: null }, 1024],
    [{ model_type: "llama", sliding_window: 256 }, 1024],
    [{ model_type: "qwen2", eos_token_id: 1, sliding_window: 256 }, 1024],
    [{ model_type: "qwen2", eos_token_id: 1, sliding_window: 256, use_sliding_window: true }, 1024],
    [
      {
        model_type: "qwen2",
        eos_token_id: 1,
        sliding_window: 256,
        use_sliding_window: true,
        max_window_layers: 1,
      },
      256,
    ],
  ])("with %j takes sequences up to where windows are seen", (window, longest) => {
    expect(modelConfig.parse({ ...mistral, ...window }).spec.decoder.maxPositions).toBe(longest);
  });

  test("sees no pixels that fill no patch", () => {
    const { vision } = knownMappings["smolvlm2-2.2b"]!.spec;
    expect(vision).toMatchObject({ imageSize: 378, patchSize: 14 });
  });

  test.each([
    [-2, 23],
    [-1, 24],
    [5, 5],
  ])("with features of layer %i computes %i blocks", (layer, layers) => {
    const { spec, layout } = modelConfig.parse(changed(llavaNext, "vision_feature_layer", layer));
    expect(spec.vision).toMatchObject({ layers });
    expect(total(modelConfig.parse(llavaNext))).toBe(total({ spec, layout, image: null }));
  });

  test.each([
    ["llavaNext", "model_type", "llava_onevision", "model_type"],
    ["llavaNext", "quantization_config", { bits: 4 }, "quantization_config"],
    ["llavaNext", "text_config.model_type", "gemma", "text_config.model_type"],
    ["llavaNext", "text_config.hidden_act", "gelu", "text_config.hidden_act"],
    ["llavaNext", "text_config.attention_bias", true, "text_config.attention_bias"],
    ["llavaNext", "text_config.mlp_bias", true, "text_config.mlp_bias"],
    ["llavaNext", "text_config.rope_scaling", { type: "linear", factor: 2 }, "text_config.rope_scaling"],
    ["llavaNext", "text_config.rope_parameters", { rope_type: "llama3" }, "text_config.rope_parameters"],
    ["llavaNext", "text_config.rope_scaling", { mrope_section: [1, 2, 3] }, "text_config.rope_scaling"],
    ["llavaNext", "text_config.num_key_value_heads", 5, "text_config.num_key_value_heads"],
    ["llavaNext", "vision_config.model_type", "siglip_vision_model", "vision_config.model_type"],
    ["llavaNext", "vision_config.hidden_act", "relu", "vision_config.hidden_act"],
    ["llavaNext", "vision_config.patch_size", 15, "vision_config.patch_size"],
    ["llavaNext", "vision_feature_select_strategy", "full", "vision_feature_select_strategy"],
    ["llavaNext", "vision_feature_layer", [-2, -5], "vision_feature_layer"],
    ["llavaNext", "vision_feature_layer", -25, "vision_feature_layer"],
    ["llavaOriginal", "mm_projector_type", "linear", "mm_projector_type"],
    ["llavaOriginal", "mm_vision_tower", "google/siglip-so400m-patch14-384", "mm_vision_tower"],
    ["llavaOriginal", "mm_use_im_start_end", true, "mm_use_im_start_end"],
    ["smolVlm", "text_config.qk_layer_norms", true, "text_config.qk_layer_norms"],
    ["smolVlm", "text_config.use_resampler", true, "text_config.use_resampler"],
    ["smolVlm", "scale_factor", 3, "scale_factor"],
    ["qwen", "rope_scaling", null, "rope_scaling.mrope_section"],
    ["qwen", "rope_scaling", { type: "mrope", mrope_section: [16, 16, 24] }, "rope_scaling.mrope_section"],
    ["qwen", "rope_scaling", { type: "yarn", mrope_section: [16, 24, 24], factor: 4 }, "rope_scaling"],
    ["qwen", "vision_config.out_hidden_size", 1024, "vision_config.out_hidden_size"],
    ["qwen", "vision_config.window_size", 100, "vision_config.window_size"],
    ["qwen", "vision_config.hidden_act", "gelu", "vision_config.hidden_act"],
    ["mistral", "head_dim", 15, "head_dim"],
  ])("%s with %s = %j is refused by that key", (name, path, value, key) => {
    const { error } = modelConfig.safeParse(changed(configs[name]!, path, value));
    expect(error?.issues.some((issue) => issue.path.join(".").startsWith(key))).toBe(true);
  });
});

describe("names of tensors", () => {
  const parameterOf = (mapping: ModelMapping, name: string) => {
    const canonical = mapping.layout!.canonicalName(name);
    return mapping.layout!.tensors.find((tensor) => tensor.name === canonical)?.parameter;
  };

  test.each(Object.entries(configs))("of %s are there once each, and so are the parameters", (_, config) => {
    const { tensors, canonicalName } = modelConfig.parse(config).layout!;
    expect(new Set(tensors.map(({ name }) => name)).size).toBe(tensors.length);
    for (const { name } of tensors) expect(canonicalName(name)).toBe(name);
    const parameters = tensors.flatMap(({ parameter }) => parameter ?? []);
    expect(new Set(parameters).size).toBe(parameters.length);
  });

  test.each([
    [
      "decoder.embed.weight",
      ["language_model.model.", "model.language_model.", "model."],
      "embed_tokens.weight",
    ],
    [
      "decoder.layers.31.attention.out.weight",
      ["language_model.model.", "model.language_model.", "model."],
      "layers.31.self_attn.o_proj.weight",
    ],
    ["decoder.head.weight", ["language_model.", ""], "lm_head.weight"],
    ["projector.up.bias", ["", "model."], "multi_modal_projector.linear_1.bias"],
    ["projector.down.weight", ["model."], "mm_projector.2.weight"],
    ["projector.newline", ["", "model."], "image_newline"],
    [
      "vision.input_norm.weight",
      [
        "vision_tower.vision_model.",
        "vision_tower.",
        "model.vision_tower.",
        "model.vision_tower.vision_model.",
        "model.vision_tower.vision_tower.vision_model.",
      ],
      "pre_layrnorm.weight",
    ],
    ["vision.layers.22.mlp.down.weight", ["vision_tower.vision_model."], "encoder.layers.22.mlp.fc2.weight"],
    [null, ["vision_tower.vision_model.", "model.vision_tower."], "encoder.layers.23.mlp.fc2.weight"],
    [null, ["vision_tower.vision_model."], "post_layernorm.bias"],
  ])("of LLaVA: %s in every layout", (parameter, prefixes, name) => {
    const mapping = modelConfig.parse(llavaNext);
    for (const prefix of prefixes) expect(parameterOf(mapping, prefix + name)).toBe(parameter);
  });

  test("of the authors' LLaVA are their own, also where the encoder comes from elsewhere", () => {
    const mapping = modelConfig.parse(llavaOriginal);
    expect(parameterOf(mapping, "model.layers.0.mlp.gate_proj.weight")).toBe(
      "decoder.layers.0.mlp.gate.weight",
    );
    expect(parameterOf(mapping, "model.mm_projector.0.weight")).toBe("projector.up.weight");
    expect(parameterOf(mapping, "vision_model.embeddings.class_embedding")).toBe("vision.class_token");
    const names = mapping.layout!.tensors.map(({ name }) => name);
    expect(names).toContain("model.vision_tower.vision_tower.vision_model.post_layernorm.weight");
    expect(names.every((name) => name.startsWith("model.") || name === "lm_head.weight")).toBe(true);
  });

  test.each([
    ["visual.blocks.3.attn.qkv.bias", "vision.layers.3.attention.qkv.bias"],
    ["model.visual.merger.ln_q.weight", "projector.norm.weight"],
    ["visual.merger.mlp.2.weight", "projector.down.weight"],
    ["model.layers.3.self_attn.q_proj.bias", "decoder.layers.3.attention.q.bias"],
    ["model.language_model.layers.3.self_attn.o_proj.weight", "decoder.layers.3.attention.out.weight"],
    ["visual.patch_embed.proj.weight", "vision.patch_embed.weight"],
  ])("of Qwen2.5-VL: %s", (name, parameter) => {
    expect(parameterOf(modelConfig.parse(qwen), name)).toBe(parameter);
  });

  test("of tables that hold nothing learned stand for nothing", () => {
    const { canonicalName } = modelConfig.parse(llavaNext).layout!;
    expect(canonicalName("vision_tower.vision_model.embeddings.position_ids")).toBeNull();
    expect(canonicalName("model.layers.0.self_attn.rotary_emb.inv_freq")).toBeNull();
    expect(canonicalName("some.other.weight")).toBe("some.other.weight");
  });
});
