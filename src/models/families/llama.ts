import { z } from "zod";
import { tieFlags, unquantized } from "./config-parts.js";
import { type Family, type ModelMapping, publishedValueHead } from "./family.js";
import { decoderTensors, rewriting, tiedHeadCopy } from "./tensors.js";
import { readTextConfig } from "./text-config.js";

const decoderPrefix = "model.";
const head = "lm_head.weight";

/** Decoders alone: Llama, Mistral, Qwen2 and what shares their classes (Vicuna, SmolLM2, Qwen2.5). */
export const llama: Family = {
  modelTypes: ["llama", "mistral", "qwen2"],
  config: z
    .looseObject({ model_type: z.enum(["llama", "mistral", "qwen2"]), ...tieFlags, ...unquantized })
    .transform((file, context): ModelMapping => {
      const textModel = readTextConfig(file, file.model_type, file.tie_word_embeddings ?? false, context);
      if (context.issues.length > 0) return z.NEVER;
      const spec = {
        vision: null,
        projector: null,
        ...textModel,
        valueHead: publishedValueHead,
        imageTokenId: null,
      };
      return {
        spec,
        layout: {
          tensors: decoderTensors(spec.decoder, decoderPrefix, head),
          copies: tiedHeadCopy(spec, decoderPrefix, head),
          canonicalName: rewriting([]),
        },
        image: null,
      };
    }),
};
