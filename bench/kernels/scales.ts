/** The sizes at which kernels are measured. */

export type ScaleName = "paper" | "small" | "reduced";

export interface Scale {
  /** Part of the ids. */
  readonly name: ScaleName;
  /** Of a packed training batch: so many sequences of so many tokens, the first of which are image features. */
  readonly sequences: number;
  readonly tokens: number;
  readonly imageTokens: number;
  /** Tokens of each sequence whose log-probs are wanted: the response. */
  readonly responseTokens: number;
  readonly decoder: {
    readonly width: number;
    readonly heads: number;
    readonly kvHeads: number;
    readonly headSize: number;
    readonly mlpWidth: number;
    readonly vocabulary: number;
  };
  /** Of the low-rank adapters. */
  readonly rank: number;
  /** Whether the decoder's own weights are frozen, and get no gradient. */
  readonly frozen: boolean;
  /** Sequences that are being decoded at once, and the keys that each sees. */
  readonly decodeBatches: readonly number[];
  readonly keys: number;
  readonly vision: {
    readonly images: number;
    readonly channels: number;
    /** Pixels of a side, of an image and of a patch. */
    readonly imageSize: number;
    readonly patchSize: number;
    /** That its attention runs over; a class token may come on top of the patches. */
    readonly tokens: number;
    readonly width: number;
    readonly heads: number;
    readonly mlpWidth: number;
  };
}

export const scales = {
  /**
   * LLaVA-1.6-Mistral-7B under adapters, with CLIP ViT-L/14-336: what RL4VLM fine-tunes. Four sequences of 576 image tokens, 150 of
   * prompt and 149 of response.
   */
  paper: {
    name: "paper",
    sequences: 4,
    tokens: 875,
    imageTokens: 576,
    responseTokens: 150,
    decoder: { width: 4096, heads: 32, kvHeads: 8, headSize: 128, mlpWidth: 14_336, vocabulary: 32_000 },
    rank: 128,
    frozen: true,
    decodeBatches: [1, 2, 4, 8, 16, 32, 64],
    keys: 876,
    vision: {
      images: 4,
      channels: 3,
      imageSize: 336,
      patchSize: 14,
      tokens: 577,
      width: 1024,
      heads: 16,
      mlpWidth: 4096,
    },
  },
  /** The model that ships, trained whole. */
  small: {
    name: "small",
    sequences: 16,
    tokens: 166,
    imageTokens: 64,
    responseTokens: 57,
    decoder: { width: 128, heads: 4, kvHeads: 4, headSize: 32, mlpWidth: 352, vocabulary: 512 },
    rank: 8,
    frozen: false,
    decodeBatches: [1, 16, 64],
    keys: 140,
    vision: {
      images: 16,
      channels: 1,
      imageSize: 96,
      patchSize: 12,
      tokens: 64,
      width: 128,
      heads: 4,
      mlpWidth: 512,
    },
  },
  /** About a quarter of the paper's sizes, for the emulator: the same size of a head, and rows that are no multiple of anything. */
  reduced: {
    name: "reduced",
    sequences: 2,
    tokens: 219,
    imageTokens: 144,
    responseTokens: 37,
    decoder: { width: 1024, heads: 8, kvHeads: 2, headSize: 128, mlpWidth: 3584, vocabulary: 8000 },
    rank: 32,
    frozen: false,
    decodeBatches: [1, 8, 16, 32],
    keys: 219,
    vision: {
      images: 2,
      channels: 3,
      imageSize: 168,
      patchSize: 14,
      tokens: 145,
      width: 256,
      heads: 4,
      mlpWidth: 1024,
    },
  },
} as const satisfies Record<ScaleName, Scale>;

/** Rows of a packed training batch. */
export const rowsOf = ({ sequences, tokens }: Scale): number => sequences * tokens;
