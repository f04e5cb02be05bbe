import { z } from "zod";
import type { FixedResolutionSpec, ModelSpec, ProjectorSpec } from "../../native/model-spec.js";
import { count, tokenId } from "./config-parts.js";
import type { Family } from "./family.js";

/**
 * The tiny family: a patch-embedding ViT, a two-layer projector and a Llama-like decoder with an untied head,
 * small enough to train on a CPU. Its `config.json` follows the names of Hugging Face configurations.
 */

const configFile = z
  .strictObject({
    model_type: z.literal("tiny-vlm"),
    architectures: z.array(z.string()).optional(),
    image_token_id: tokenId,
    eos_token_id: tokenId,
    vision_config: z.strictObject({
      image_size: count,
      num_channels: z.literal([1, 3]),
      patch_size: count,
      hidden_size: count,
      num_hidden_layers: count,
      num_attention_heads: count,
      intermediate_size: count,
      layer_norm_eps: z.number().positive(),
    }),
    projector_config: z.strictObject({ hidden_size: count }),
    text_config: z.strictObject({
      vocab_size: count,
      hidden_size: count,
      num_hidden_layers: count,
      num_attention_heads: count,
      num_key_value_heads: count,
      head_dim: count.multipleOf(2),
      intermediate_size: count,
      rms_norm_eps: z.number().positive(),
      rope_theta: z.number().positive(),
      embedding_multiplier: z.number().positive(),
      max_position_embeddings: count,
    }),
    value_head_config: z.strictObject({
      hidden_sizes: z.array(count),
      trunk_gradient_scale: z.number().min(0).max(1),
    }),
  })
  .superRefine((config, context) => {
    const { vision_config: vision, text_config: text } = config;
    const problem = (path: readonly string[], message: string) =>
      context.addIssue({ code: "custom", path: [...path], message });
    const divisions = [
      [["vision_config", "patch_size"], vision.patch_size, "image_size", vision.image_size],
      [
        ["vision_config", "num_attention_heads"],
        vision.num_attention_heads,
        "hidden_size",
        vision.hidden_size,
      ],
      [
        ["text_config", "num_key_value_heads"],
        text.num_key_value_heads,
        "num_attention_heads",
        text.num_attention_heads,
      ],
    ] as const;
    for (const [path, divisor, whole, value] of divisions) {
      if (value % divisor !== 0)
        problem(path, `expected a divisor of ${whole} = ${value}, received ${divisor}`);
    }
    for (const key of ["image_token_id", "eos_token_id"] as const) {
      if (config[key] >= text.vocab_size) {
        problem([key], `expected an id below vocab_size = ${text.vocab_size}, received ${config[key]}`);
      }
    }
    if (config.image_token_id === config.eos_token_id) {
      problem(["eos_token_id"], `expected an id other than image_token_id, received ${config.eos_token_id}`);
    }
  });

type ConfigFile = z.infer<typeof configFile>;

/** A model that the family's file can describe. */
export interface TinyVlmSpec extends ModelSpec {
  vision: FixedResolutionSpec;
  projector: ProjectorSpec & { hiddenWidth: number };
  imageTokenId: number;
}

/** Reads and writes the family's `config.json`: `decode` gives the ModelSpec, `encode` the file's contents. */
export const tinyVlmConfig = z.codec(configFile, z.custom<TinyVlmSpec>(), {
  decode: (config): TinyVlmSpec => ({
    vision: {
      kind: "fixed_resolution",
      imageSize: config.vision_config.image_size,
      channels: config.vision_config.num_channels,
      patchSize: config.vision_config.patch_size,
      patchBias: true,
      classToken: false,
      inputNorm: false,
      outputNorm: true,
      width: config.vision_config.hidden_size,
      layers: config.vision_config.num_hidden_layers,
      heads: config.vision_config.num_attention_heads,
      mlpWidth: config.vision_config.intermediate_size,
      activation: "gelu_tanh",
      normEpsilon: config.vision_config.layer_norm_eps,
    },
    projector: {
      mergeSize: 1,
      normEpsilon: null,
      hiddenWidth: config.projector_config.hidden_size,
      activation: "gelu_tanh",
      bias: true,
      newline: false,
    },
    decoder: {
      vocabularySize: config.text_config.vocab_size,
      width: config.text_config.hidden_size,
      layers: config.text_config.num_hidden_layers,
      heads: config.text_config.num_attention_heads,
      keyValueHeads: config.text_config.num_key_value_heads,
      headSize: config.text_config.head_dim,
      mlpWidth: config.text_config.intermediate_size,
      qkvBias: false,
      tiedHead: false,
      normEpsilon: config.text_config.rms_norm_eps,
      ropeTheta: config.text_config.rope_theta,
      ropeSections: null,
      embeddingScale: config.text_config.embedding_multiplier,
      maxPositions: config.text_config.max_position_embeddings,
    },
    valueHead: {
      hiddenWidths: config.value_head_config.hidden_sizes,
      trunkGradientScale: config.value_head_config.trunk_gradient_scale,
    },
    imageTokenId: config.image_token_id,
    endTokenId: config.eos_token_id,
  }),
  encode: ({ vision, projector, decoder, valueHead, imageTokenId, endTokenId }): ConfigFile => ({
    model_type: "tiny-vlm",
    image_token_id: imageTokenId,
    eos_token_id: endTokenId,
    vision_config: {
      image_size: vision.imageSize,
      num_channels: vision.channels as 1 | 3,
      patch_size: vision.patchSize,
      hidden_size: vision.width,
      num_hidden_layers: vision.layers,
      num_attention_heads: vision.heads,
      intermediate_size: vision.mlpWidth,
      layer_norm_eps: vision.normEpsilon,
    },
    projector_config: { hidden_size: projector.hiddenWidth },
    text_config: {
      vocab_size: decoder.vocabularySize,
      hidden_size: decoder.width,
      num_hidden_layers: decoder.layers,
      num_attention_heads: decoder.heads,
      num_key_value_heads: decoder.keyValueHeads,
      head_dim: decoder.headSize,
      intermediate_size: decoder.mlpWidth,
      rms_norm_eps: decoder.normEpsilon,
      rope_theta: decoder.ropeTheta,
      embedding_multiplier: decoder.embeddingScale,
      max_position_embeddings: decoder.maxPositions,
    },
    value_head_config: {
      hidden_sizes: valueHead.hiddenWidths,
      trunk_gradient_scale: valueHead.trunkGradientScale,
    },
  }),
});

/** The models that ship with the package. Their files hold the parameters under their own names. */
export const tinyVlm: Family = {
  modelTypes: ["tiny-vlm"],
  config: tinyVlmConfig.transform((spec) => ({
    spec,
    layout: null,
    image: { token: "<image>", views: ["stretch"], text: () => "<image>" },
  })),
};
