import { z } from "zod";
import type { ModelSpec, NativeResolutionSpec } from "../../native/model-spec.js";
import { count, problemsUnder, tieFlags, tokenId, unquantized } from "./config-parts.js";
import {
  type CheckpointTensor,
  type Family,
  type ModelMapping,
  publishedValueHead,
  type TensorLayout,
} from "./family.js";
import { decoderTensors, linear, rewriting, tensor, tiedHeadCopy } from "./tensors.js";
import { readTextConfig } from "./text-config.js";

const visionFile = z
  .looseObject({
    depth: count.default(32),
    hidden_size: count.default(3584),
    hidden_act: z.literal("silu").default("silu"),
    intermediate_size: count.default(3420),
    num_heads: count.default(16),
    in_channels: z.literal(3).default(3),
    in_chans: z.literal(3).default(3),
    patch_size: count.default(14),
    spatial_merge_size: count.default(2),
    temporal_patch_size: count.default(2),
    window_size: count.default(112),
    out_hidden_size: count.default(3584),
    fullatt_block_indexes: z.array(z.int().min(0)).default([7, 15, 23, 31]),
    /** Two-dimensional positions of a fixed base; a release that writes them may state so. */
    rope_parameters: z
      .looseObject({
        rope_theta: z.literal(10_000).optional(),
        rope_type: z.literal(["axial", "default"]).optional(),
      })
      .nullish(),
  })
  .superRefine((file, context) => {
    const problem = problemsUnder(context, () => []);
    const unit = file.patch_size * file.spatial_merge_size;
    if (file.window_size % unit !== 0) {
      problem(
        ["window_size"],
        `expected a multiple of patch_size * spatial_merge_size = ${unit}, received ${file.window_size}`,
      );
    }
    if (file.hidden_size % (4 * file.num_heads) !== 0) {
      problem(
        ["num_heads"],
        `expected hidden_size = ${file.hidden_size} to be a multiple of 4 times the heads, received ${file.num_heads}`,
      );
    }
  });

/** Qwen2.5-VL (arXiv 2502.13923): frames at their own resolution, windows in the encoder, multimodal positions in the decoder. */
export const qwen25Vl: Family = {
  modelTypes: ["qwen2_5_vl"],
  config: z
    .looseObject({
      model_type: z.literal("qwen2_5_vl"),
      vision_config: visionFile.prefault({}),
      text_config: z.looseObject({ ...tieFlags }).nullish(),
      image_token_id: tokenId.default(151_655),
      ...tieFlags,
      ...unquantized,
    })
    .transform((file, context): ModelMapping => {
      const tiedHead = file.tie_word_embeddings ?? file.text_config?.tie_word_embeddings ?? false;
      const textModel = readTextConfig(file, "qwen2_5_vl_text", tiedHead, context);
      if (context.issues.length > 0) return z.NEVER;
      const { vision_config: vision } = file;
      if (vision.out_hidden_size !== textModel.decoder.width) {
        problemsUnder(context, () => ["vision_config"])(
          ["out_hidden_size"],
          `expected the decoder's hidden_size = ${textModel.decoder.width}, received ${vision.out_hidden_size}`,
        );
        return z.NEVER;
      }
      const spec: ModelSpec = {
        vision: {
          kind: "native_resolution",
          channels: vision.in_channels,
          patchSize: vision.patch_size,
          temporalPatchSize: vision.temporal_patch_size,
          width: vision.hidden_size,
          layers: vision.depth,
          heads: vision.num_heads,
          mlpWidth: vision.intermediate_size,
          normEpsilon: 1e-6,
          windowSize: vision.window_size,
          // Indices behind the last block name none.
          fullAttentionLayers: vision.fullatt_block_indexes.filter((index) => index < vision.depth),
        },
        projector: {
          mergeSize: vision.spatial_merge_size,
          normEpsilon: 1e-6,
          hiddenWidth: vision.hidden_size * vision.spatial_merge_size ** 2,
          activation: "gelu",
          bias: true,
          newline: false,
        },
        ...textModel,
        valueHead: publishedValueHead,
        imageTokenId: file.image_token_id,
      };
      const token = "<|image_pad|>";
      return { spec, layout: layoutOf(spec), image: { token, views: ["smart_resize"], text: () => token } };
    }),
};

const decoderPrefix = "model.";
const head = "lm_head.weight";

function layoutOf(spec: ModelSpec): TensorLayout {
  const vision = spec.vision as NativeResolutionSpec;
  const merged = spec.projector!.hiddenWidth!;
  return {
    tensors: [
      ...visionTensors(vision),
      tensor("visual.merger.ln_q.weight", "projector.norm.weight", vision.width),
      ...linear("visual.merger.mlp.0", "projector.up", merged, merged, true),
      ...linear("visual.merger.mlp.2", "projector.down", spec.decoder.width, merged, true),
      ...decoderTensors(spec.decoder, decoderPrefix, head),
    ],
    copies: tiedHeadCopy(spec, decoderPrefix, head),
    canonicalName: rewriting([
      [/^model\.visual\./, "visual."],
      [/^model\.language_model\./, decoderPrefix],
    ]),
  };
}

function visionTensors(spec: NativeResolutionSpec): CheckpointTensor[] {
  const { width, mlpWidth, channels, temporalPatchSize, patchSize } = spec;
  const layers = Array.from({ length: spec.layers }, (_, index) => {
    const name = `visual.blocks.${index}.`;
    const parameter = `vision.layers.${index}.`;
    const mlp = (part: string, outputs: number, inputs: number) =>
      linear(`${name}mlp.${part}_proj`, `${parameter}mlp.${part}`, outputs, inputs, true);
    return [
      tensor(`${name}norm1.weight`, `${parameter}norm1.weight`, width),
      ...linear(`${name}attn.qkv`, `${parameter}attention.qkv`, 3 * width, width, true),
      ...linear(`${name}attn.proj`, `${parameter}attention.out`, width, width, true),
      tensor(`${name}norm2.weight`, `${parameter}norm2.weight`, width),
      ...mlp("gate", mlpWidth, width),
      ...mlp("up", mlpWidth, width),
      ...mlp("down", width, mlpWidth),
    ];
  });
  const shape = [width, channels, temporalPatchSize, patchSize, patchSize];
  return [tensor("visual.patch_embed.proj.weight", "vision.patch_embed.weight", ...shape), ...layers.flat()];
}
