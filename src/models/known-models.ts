import type { ModelSpec } from "../native/model-spec.js";
import { modelConfig } from "./families/families.js";
import type { ModelMapping } from "./families/family.js";

/** What `config.json` holds of the published models that are known by name, as far as it bears on their sizes. */
const publishedConfigs = {
  "llava-1.5-7b": {
    model_type: "llava",
    image_token_index: 32_000,
    text_config: {
      model_type: "llama",
      max_position_embeddings: 4096,
      rms_norm_eps: 1e-5,
      vocab_size: 32_064,
    },
    vision_config: largeClip(),
  },
  "llava-v1.6-mistral-7b": {
    model_type: "llava_next",
    image_token_index: 32_000,
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
    vision_config: largeClip(),
  },
  "qwen2.5-vl-3b": qwen({
    hidden_size: 2048,
    intermediate_size: 11_008,
    num_hidden_layers: 36,
    num_attention_heads: 16,
    num_key_value_heads: 2,
    vocab_size: 151_936,
    tie_word_embeddings: true,
  }),
  "qwen2.5-vl-7b": qwen({
    hidden_size: 3584,
    intermediate_size: 18_944,
    num_hidden_layers: 28,
    num_attention_heads: 28,
    num_key_value_heads: 4,
    vocab_size: 152_064,
    tie_word_embeddings: false,
  }),
  "smolvlm-256m": smolVlm(
    { hidden_size: 576, intermediate_size: 1536, num_hidden_layers: 30, num_attention_heads: 9 },
    3,
  ),
  "smolvlm2-500m": smolVlm(
    { hidden_size: 960, intermediate_size: 2560, num_hidden_layers: 32, num_attention_heads: 15 },
    5,
  ),
  "smolvlm2-2.2b": {
    model_type: "smolvlm",
    image_token_id: 49_190,
    scale_factor: 3,
    text_config: {
      model_type: "llama",
      hidden_size: 2048,
      intermediate_size: 8192,
      num_hidden_layers: 24,
      num_attention_heads: 32,
      max_position_embeddings: 8192,
      rms_norm_eps: 1e-5,
      rope_theta: 273_768,
      vocab_size: 49_280,
      eos_token_id: 49_279,
    },
    vision_config: {
      hidden_size: 1152,
      intermediate_size: 4304,
      num_hidden_layers: 27,
      num_attention_heads: 16,
      image_size: 384,
      patch_size: 14,
    },
  },
} as const;

/** CLIP ViT-L/14 at 336 pixels. */
function largeClip() {
  return {
    model_type: "clip_vision_model",
    hidden_size: 1024,
    image_size: 336,
    intermediate_size: 4096,
    num_attention_heads: 16,
    num_hidden_layers: 24,
    patch_size: 14,
  };
}

/** @param text the decoder's sizes, which the file has beside those of the encoder */
function qwen<Text extends { readonly hidden_size: number }>(text: Text) {
  return {
    model_type: "qwen2_5_vl",
    ...text,
    max_position_embeddings: 128_000,
    rms_norm_eps: 1e-6,
    rope_theta: 1_000_000,
    rope_scaling: { type: "mrope", mrope_section: [16, 24, 24] },
    sliding_window: 32_768,
    use_sliding_window: false,
    eos_token_id: 151_645,
    image_token_id: 151_655,
    vision_config: { hidden_size: 1280, intermediate_size: 3420, out_hidden_size: text.hidden_size },
  };
}

/** The two with SigLIP-B/16 at 512 pixels. */
function smolVlm(
  text: Readonly<
    Record<"hidden_size" | "intermediate_size" | "num_hidden_layers" | "num_attention_heads", number>
  >,
  keyValueHeads: number,
) {
  return {
    model_type: "smolvlm",
    image_token_id: 49_190,
    scale_factor: 4,
    text_config: {
      model_type: "llama",
      ...text,
      num_key_value_heads: keyValueHeads,
      max_position_embeddings: 8192,
      rms_norm_eps: 1e-5,
      rope_theta: 100_000,
      vocab_size: 49_280,
      eos_token_id: 49_279,
    },
    vision_config: {
      hidden_size: 768,
      intermediate_size: 3072,
      num_hidden_layers: 12,
      num_attention_heads: 12,
      image_size: 512,
      patch_size: 16,
    },
  };
}

/** Published models by the name that a configuration gives them, by what their `config.json` says. */
export const knownMappings: Readonly<Record<string, ModelMapping>> = Object.fromEntries(
  Object.entries(publishedConfigs).map(([name, config]) => [name, modelConfig.parse(config)]),
);

/** Sizes of published models by name: enough to plan a run before any file is there. */
export const knownModels: Readonly<Record<string, ModelSpec>> = Object.fromEntries(
  Object.entries(knownMappings).map(([name, { spec }]) => [name, spec]),
);
