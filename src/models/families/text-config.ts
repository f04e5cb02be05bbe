import { z } from "zod";
import type { DecoderSpec } from "../../native/model-spec.js";
import { problemsUnder, tokenIds } from "./config-parts.js";

/** Decoders that are published as models of their own and inside of others, by `model_type`. */
export type TextModelType = "llama" | "mistral" | "qwen2" | "qwen2_5_vl_text";

/** What keys mean that a file leaves out: the values of the classes in Transformers. */
interface TextDefaults {
  vocab_size: number;
  hidden_size: number;
  intermediate_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  /** Null: as many as heads. */
  num_key_value_heads: number | null;
  max_position_embeddings: number;
  rms_norm_eps: number;
  rope_theta: number;
  sliding_window: number | null;
  use_sliding_window: boolean;
  max_window_layers: number;
  eos_token_id: number | undefined;
}

const llama: TextDefaults = {
  vocab_size: 32_000,
  hidden_size: 4096,
  intermediate_size: 11_008,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: null,
  max_position_embeddings: 2048,
  rms_norm_eps: 1e-6,
  rope_theta: 10_000,
  sliding_window: null,
  use_sliding_window: false,
  max_window_layers: 0,
  eos_token_id: 2,
};

const qwen2: TextDefaults = {
  ...llama,
  vocab_size: 151_936,
  intermediate_size: 22_016,
  num_key_value_heads: 32,
  max_position_embeddings: 32_768,
  sliding_window: 4096,
  max_window_layers: 28,
  eos_token_id: undefined,
};

const textDefaults: Readonly<Record<TextModelType, TextDefaults>> = {
  llama,
  mistral: {
    ...llama,
    intermediate_size: 14_336,
    num_key_value_heads: 8,
    max_position_embeddings: 131_072,
    sliding_window: 4096,
    use_sliding_window: true,
  },
  qwen2,
  qwen2_5_vl_text: {
    ...qwen2,
    vocab_size: 152_064,
    hidden_size: 8192,
    intermediate_size: 29_568,
    num_hidden_layers: 80,
    num_attention_heads: 64,
    num_key_value_heads: 8,
    rms_norm_eps: 1e-5,
    rope_theta: 1_000_000,
    max_window_layers: 80,
    eos_token_id: 151_645,
  },
};

const count = z.int().positive();
const no = z.literal(false).nullish();

/** Strict: what scales or reorders rotary positions comes as further keys. */
const rope = z.strictObject({
  rope_theta: z.number().positive().optional(),
  /** Older files write `type`; "mrope" is what the oldest of Qwen's call multimodal positions without scaling. */
  rope_type: z.literal(["default", "mrope"]).optional(),
  type: z.literal(["default", "mrope"]).optional(),
  mrope_section: z.tuple([count, count, count]).optional(),
  mrope_interleaved: z.literal(false).optional(),
  partial_rotary_factor: z.literal(1).optional(),
});

const textFile = z.looseObject({
  vocab_size: count.nullish(),
  hidden_size: count.nullish(),
  intermediate_size: count.nullish(),
  num_hidden_layers: count.nullish(),
  num_attention_heads: count.nullish(),
  num_key_value_heads: count.nullish(),
  head_dim: count.multipleOf(2).nullish(),
  hidden_act: z.literal("silu").nullish(),
  max_position_embeddings: count.nullish(),
  rms_norm_eps: z.number().positive().nullish(),
  rope_theta: z.number().positive().nullish(),
  rope_scaling: rope.nullish(),
  rope_parameters: rope.nullish(),
  sliding_window: count.nullish(),
  use_sliding_window: z.boolean().nullish(),
  max_window_layers: z.int().min(0).nullish(),
  layer_types: z.array(z.literal(["full_attention", "sliding_attention"])).nullish(),
  eos_token_id: tokenIds.nullish(),
  attention_bias: no,
  mlp_bias: no,
  qk_layer_norms: no,
  rope_interleaved: no,
  use_resampler: no,
});

/** A decoder, and the token that ends its responses. */
export interface TextModel {
  readonly decoder: DecoderSpec;
  readonly endTokenId: number;
}

/**
 * Reads a decoder's keys: those of `text_config`, then those beside it, then the defaults of the class.
 *
 * @param content of the whole `config.json`
 * @param type of the decoder
 * @param tiedHead what the family makes of the flags `tie_word_embeddings`
 */
export function readTextConfig(
  content: Readonly<Record<string, unknown>>,
  type: TextModelType,
  tiedHead: boolean,
  context: z.core.$RefinementCtx,
): TextModel {
  const nested = (content.text_config ?? {}) as Readonly<Record<string, unknown>>;
  const problem = problemsUnder(context, (key) => (key in nested ? ["text_config"] : []));
  const result = textFile.safeParse({ ...content, ...nested });
  if (!result.success) {
    for (const { path, message } of result.error.issues) problem(path, message);
    return z.NEVER;
  }
  const file = result.data;
  const defaults = textDefaults[type];
  const heads = file.num_attention_heads ?? defaults.num_attention_heads;
  const width = file.hidden_size ?? defaults.hidden_size;
  const keyValueHeads = file.num_key_value_heads ?? defaults.num_key_value_heads ?? heads;
  const headSize = file.head_dim ?? width / heads;
  const layers = file.num_hidden_layers ?? defaults.num_hidden_layers;
  const vocabularySize = file.vocab_size ?? defaults.vocab_size;
  if (heads % keyValueHeads !== 0) {
    problem(
      ["num_key_value_heads"],
      `expected a divisor of num_attention_heads = ${heads}, received ${keyValueHeads}`,
    );
  }
  if (!Number.isInteger(headSize / 2)) {
    problem(
      ["num_attention_heads"],
      `expected hidden_size = ${width} to be a multiple of twice the heads, received ${heads}`,
    );
  }

  const rotary = file.rope_parameters ?? file.rope_scaling ?? {};
  const sections = rotary.mrope_section ?? null;
  const isMultimodal = type === "qwen2_5_vl_text";
  const ropeKey =
    "rope_parameters" in file && file.rope_parameters != null ? "rope_parameters" : "rope_scaling";
  if (isMultimodal && sections === null) {
    problem([ropeKey, "mrope_section"], "expected 3 counts of rotary frequencies, received none");
  }
  if (!isMultimodal && (sections !== null || (rotary.rope_type ?? rotary.type) === "mrope")) {
    problem([ropeKey], `expected no multimodal positions in a decoder of the type "${type}"`);
  }
  if (sections !== null && sections[0] + sections[1] + sections[2] !== headSize / 2) {
    problem(
      [ropeKey, "mrope_section"],
      `expected counts that sum to half of the head size, ${headSize / 2}, received ${sections.join(", ")}`,
    );
  }

  const endToken = [file.eos_token_id ?? defaults.eos_token_id].flat()[0];
  if (endToken === undefined)
    problem(["eos_token_id"], "expected the id of the token that ends a response, received none");
  const longest = file.max_position_embeddings ?? defaults.max_position_embeddings;
  return {
    decoder: {
      vocabularySize,
      width,
      layers,
      heads,
      keyValueHeads,
      headSize,
      mlpWidth: file.intermediate_size ?? defaults.intermediate_size,
      qkvBias: type === "qwen2" || type === "qwen2_5_vl_text",
      tiedHead,
      normEpsilon: file.rms_norm_eps ?? defaults.rms_norm_eps,
      ropeTheta: rotary.rope_theta ?? file.rope_theta ?? defaults.rope_theta,
      ropeSections: isMultimodal ? sections : null,
      embeddingScale: 1,
      maxPositions: Math.min(longest, slidingWindow(file, defaults, layers) ?? longest),
    },
    endTokenId: endToken ?? z.NEVER,
  };
}

/** The window that some layer's attention is cut to; null: none is. Shorter sequences do not see it. */
function slidingWindow(
  file: z.output<typeof textFile>,
  defaults: TextDefaults,
  layers: number,
): number | null {
  // Null says that there is no window; only a file that is silent means the default.
  const window = file.sliding_window === undefined ? defaults.sliding_window : file.sliding_window;
  const isUsed = file.use_sliding_window ?? defaults.use_sliding_window;
  if (window === null || !isUsed) return null;
  if (file.layer_types != null) return file.layer_types.includes("sliding_attention") ? window : null;
  return (file.max_window_layers ?? defaults.max_window_layers) < layers ? window : null;
}
