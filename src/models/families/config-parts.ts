/** What the files of several families have in common. */
import { z } from "zod";
import type { Activation } from "../../native/model-spec.js";

export const count = z.int().positive();
export const tokenId = z.int().nonnegative();

/** One id, or several of which the first counts. */
export const tokenIds = z.union([tokenId, z.array(tokenId).min(1)], {
  error: "expected a token id or a list of some",
});

const activationsByName = {
  gelu: "gelu",
  gelu_pytorch_tanh: "gelu_tanh",
  quick_gelu: "quick_gelu",
} as const satisfies Record<string, Activation>;

/** The name of an activation in Transformers. */
export const activation = z
  .enum(Object.keys(activationsByName) as (keyof typeof activationsByName)[])
  .transform((name) => activationsByName[name]);

/** In any family: stored numbers that are not the weights themselves. */
export const unquantized = {
  quantization_config: z
    .null({
      error: "expected unquantised weights (F32, F16 or BF16); take a checkpoint without quantisation",
    })
    .optional(),
};

/** The flags of both places; the decoder's own, and that of the model around it. */
export const tieFlags = {
  tie_word_embeddings: z.boolean().nullish(),
};

/** Reports problems of keys, each under the path that `parents` gives its first key. */
export function problemsUnder(
  context: z.core.$RefinementCtx,
  parents: (key: string) => readonly string[],
): (path: readonly PropertyKey[], message: string) => void {
  return (path, message) =>
    context.addIssue({ code: "custom", path: [...parents(String(path[0])), ...path], message });
}
