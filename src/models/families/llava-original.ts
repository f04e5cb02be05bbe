import { z } from "zod";
import type { ModelSpec } from "../../native/model-spec.js";
import { unquantized } from "./config-parts.js";
import { type Family, type ModelMapping, publishedValueHead, type TensorLayout } from "./family.js";
import { clipEncoder, clipFile, largeClip, llavaImage, llavaLayout } from "./llava.js";
import { type Rewrite, rewriting } from "./tensors.js";
import { readTextConfig } from "./text-config.js";

/**
 * LLaVA-1.5 and 1.6 as their authors publish them. Their folders hold neither `tokenizer.json` nor `preprocessor_config.json`: those
 * of the checkpoint's conversion to Transformers go with it, and frames are processed as they say. The vocabulary has no image token:
 * in its place stands the unknown token, which a vocabulary with a token for every byte never writes.
 */
export const llavaOriginal: Family = {
  modelTypes: ["llava_llama", "llava_mistral"],
  config: z
    .looseObject({
      model_type: z.enum(["llava", "llava_llama", "llava_mistral"]),
      mm_vision_tower: z.literal("openai/clip-vit-large-patch14-336"),
      mm_projector_type: z.literal("mlp2x_gelu"),
      mm_hidden_size: z.literal(largeClip.hidden_size),
      mm_vision_select_layer: z.int(),
      mm_vision_select_feature: z.literal("patch").default("patch"),
      mm_patch_merge_type: z.literal(["flat", "spatial_unpad"]).default("flat"),
      mm_use_im_start_end: z.literal(false).default(false),
      mm_use_im_patch_token: z.literal(false).default(false),
      tie_word_embeddings: z.literal(false).default(false),
      ...unquantized,
    })
    .transform((file, context): ModelMapping => {
      const type = file.model_type === "llava_mistral" ? "mistral" : "llama";
      const textModel = readTextConfig(file, type, false, context);
      const vision = clipEncoder(clipFile.parse(largeClip), file.mm_vision_select_layer, context);
      if (context.issues.length > 0) return z.NEVER;
      const spec: ModelSpec = {
        vision,
        projector: {
          mergeSize: 1,
          normEpsilon: null,
          hiddenWidth: textModel.decoder.width,
          activation: "gelu",
          bias: true,
          newline: file.mm_patch_merge_type === "spatial_unpad",
        },
        ...textModel,
        valueHead: publishedValueHead,
        imageTokenId: 0,
      };
      return { spec, layout: layoutOf(spec), image: llavaImage(spec) };
    }),
};

/** From the names of the conversion to the authors'. */
const rewrites: readonly Rewrite[] = [
  [/^(?:vision_tower\.)?vision_model\./, "model.vision_tower.vision_tower.vision_model."],
  [/^multi_modal_projector\.linear_1\./, "model.mm_projector.0."],
  [/^multi_modal_projector\.linear_2\./, "model.mm_projector.2."],
  [/^image_newline$/, "model.image_newline"],
  [/^language_model\./, ""],
];

function layoutOf(spec: ModelSpec): TensorLayout {
  const canonicalName = rewriting(rewrites);
  const { tensors } = llavaLayout(spec, largeClip.num_hidden_layers);
  return {
    tensors: tensors.map((tensor) => ({ ...tensor, name: canonicalName(tensor.name)! })),
    copies: {},
    canonicalName,
  };
}
