import { z } from "zod";
import type { FixedResolutionSpec, ModelSpec } from "../../native/model-spec.js";
import { activation, count, problemsUnder, tieFlags, tokenId, unquantized } from "./config-parts.js";
import {
  type Family,
  type ImagePrompt,
  type ModelMapping,
  publishedValueHead,
  type TensorLayout,
} from "./family.js";
import {
  decoderTensors,
  fixedResolutionTensors,
  linear,
  type Rewrite,
  rewriting,
  tensor,
  tiedHeadCopy,
} from "./tensors.js";
import { readTextConfig } from "./text-config.js";

/** What the class of a CLIP encoder makes of absent keys, and what LLaVA takes for an absent encoder. */
const clipDefaults = {
  hidden_size: 768,
  intermediate_size: 3072,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  image_size: 224,
  patch_size: 32,
};
export const largeClip = {
  hidden_size: 1024,
  intermediate_size: 4096,
  num_hidden_layers: 24,
  num_attention_heads: 16,
  image_size: 336,
  patch_size: 14,
};

export const clipFile = z.looseObject({
  model_type: z.literal("clip_vision_model").default("clip_vision_model"),
  hidden_size: count.default(clipDefaults.hidden_size),
  intermediate_size: count.default(clipDefaults.intermediate_size),
  num_hidden_layers: count.default(clipDefaults.num_hidden_layers),
  num_attention_heads: count.default(clipDefaults.num_attention_heads),
  num_channels: z.literal(3).default(3),
  image_size: count.default(clipDefaults.image_size),
  patch_size: count.default(clipDefaults.patch_size),
  hidden_act: activation.prefault("quick_gelu"),
  layer_norm_eps: z.number().positive().default(1e-5),
});

const textType = z.looseObject({
  model_type: z.enum(["llama", "mistral", "qwen2"]).default("llama"),
  ...tieFlags,
});

/**
 * Reads the `config.json` of a LLaVA in Transformers' form.
 *
 * @param newline whether the model has the vector that ends lines of tokens
 */
export function llavaConfig(type: string, { newline }: { newline: boolean }): z.ZodType<ModelMapping> {
  return z
    .looseObject({
      model_type: z.literal(type),
      vision_config: clipFile.prefault(largeClip),
      text_config: textType.nullish(),
      image_token_index: tokenId.optional(),
      image_token_id: tokenId.optional(),
      projector_hidden_act: activation.prefault("gelu"),
      vision_feature_select_strategy: z.literal("default").default("default"),
      vision_feature_layer: z
        .int({ error: "expected the number of one layer; features of several are not supported" })
        .default(-2),
      multimodal_projector_bias: z.boolean().default(true),
      ...tieFlags,
      ...unquantized,
    })
    .transform((file, context): ModelMapping => {
      const tiedHead = file.tie_word_embeddings || file.text_config?.tie_word_embeddings || false;
      const textModel = readTextConfig(file, file.text_config?.model_type ?? "llama", tiedHead, context);
      const clip = file.vision_config;
      const vision = clipEncoder(clip, file.vision_feature_layer, context);
      if (context.issues.length > 0) return z.NEVER;
      const spec: ModelSpec = {
        vision,
        projector: {
          mergeSize: 1,
          normEpsilon: null,
          hiddenWidth: textModel.decoder.width,
          activation: file.projector_hidden_act,
          bias: file.multimodal_projector_bias,
          newline,
        },
        ...textModel,
        valueHead: publishedValueHead,
        imageTokenId: file.image_token_index ?? file.image_token_id ?? 32_000,
      };
      return { spec, layout: llavaLayout(spec, clip.num_hidden_layers), image: llavaImage(spec) };
    });
}

/**
 * A CLIP encoder up to the layer that features are taken from.
 *
 * @param featureLayer index into the input of the first block and the outputs of all; negative ones count from the last
 */
export function clipEncoder(
  clip: z.output<typeof clipFile>,
  featureLayer: number,
  context: z.core.$RefinementCtx,
): FixedResolutionSpec {
  const published = clip.num_hidden_layers;
  const layers = featureLayer < 0 ? published + 1 + featureLayer : featureLayer;
  const problem = problemsUnder(context, (key) => (key in clip ? ["vision_config"] : []));
  if (layers < 1 || layers > published) {
    problem(
      ["vision_feature_layer"],
      `expected the output of one of ${published} layers, received ${featureLayer}`,
    );
  }
  if (clip.image_size % clip.patch_size !== 0) {
    problem(
      ["patch_size"],
      `expected a divisor of image_size = ${clip.image_size}, received ${clip.patch_size}`,
    );
  }
  if (clip.hidden_size % clip.num_attention_heads !== 0) {
    problem(
      ["num_attention_heads"],
      `expected a divisor of hidden_size = ${clip.hidden_size}, received ${clip.num_attention_heads}`,
    );
  }
  return {
    kind: "fixed_resolution",
    imageSize: clip.image_size,
    channels: clip.num_channels,
    patchSize: clip.patch_size,
    patchBias: false,
    classToken: true,
    inputNorm: true,
    outputNorm: false,
    width: clip.hidden_size,
    layers,
    heads: clip.num_attention_heads,
    mlpWidth: clip.intermediate_size,
    activation: clip.hidden_act,
    normEpsilon: clip.layer_norm_eps,
  };
}

const decoderPrefix = "language_model.model.";
const head = "language_model.lm_head.weight";
const tower = "vision_tower.vision_model.";

/** Every layout that LLaVA has been published in. */
const rewrites: readonly Rewrite[] = [
  [/^(?:model\.)?vision_tower\.(?:vision_tower\.)?(?:vision_model\.)?/, tower],
  [/^model\.mm_projector\.0\./, "multi_modal_projector.linear_1."],
  [/^model\.mm_projector\.2\./, "multi_modal_projector.linear_2."],
  [/^model\.(?=multi_modal_projector\.|image_newline$)/, ""],
  [/^model\.language_model\./, decoderPrefix],
  [/^model\.(?=embed_tokens\.|layers\.|norm\.)/, decoderPrefix],
  [/^lm_head\./, "language_model.lm_head."],
];

/** @param publishedLayers blocks of the encoder that files hold */
export function llavaLayout(spec: ModelSpec, publishedLayers: number): TensorLayout {
  const vision = spec.vision as FixedResolutionSpec;
  const projector = spec.projector!;
  const { width } = spec.decoder;
  const layer = (name: string, parameter: string, inputs: number) =>
    linear(`multi_modal_projector.${name}`, `projector.${parameter}`, width, inputs, projector.bias);
  return {
    tensors: [
      ...fixedResolutionTensors(vision, tower, publishedLayers),
      ...layer("linear_1", "up", vision.width),
      ...layer("linear_2", "down", width),
      ...(projector.newline ? [tensor("image_newline", "projector.newline", width)] : []),
      ...decoderTensors(spec.decoder, decoderPrefix, head),
    ],
    copies: tiedHeadCopy(spec, decoderPrefix, head),
    canonicalName: rewriting(rewrites),
  };
}

/** One run of image tokens, views and lines one after the other. Lines end with the newline vector, where a model has it. */
export function llavaImage(spec: ModelSpec): ImagePrompt {
  const tiles = spec.projector?.newline ? (["any_resolution"] as const) : [];
  return {
    token: "<image>",
    views: ["center_crop", "pad_square", "stretch", ...tiles],
    text: () => "<image>",
  };
}

/** LLaVA-1.5 (Liu et al. 2023, arXiv 2310.03744): CLIP, a two-layer projector, a decoder of the Llama kind. */
export const llava: Family = {
  modelTypes: ["llava"],
  config: llavaConfig("llava", { newline: false }),
};
