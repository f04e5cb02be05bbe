/** A model as data: what a family makes of its configuration, and the engine a model of. */

/** Functions of one number between the layers of an MLP: GELU by the normal distribution, its tanh form, or x / (1 + exp(-1.702 x)). */
export type Activation = "gelu" | "gelu_tanh" | "quick_gelu";

/**
 * A vision transformer over square views of one size (Dosovitskiy et al. 2021; CLIP, SigLIP): patches with learned positions,
 * pre-norm LayerNorm blocks, biases in every linear layer.
 */
export interface FixedResolutionSpec {
  kind: "fixed_resolution";
  /** Height and width of a view, in pixels; a multiple of `patchSize`. */
  imageSize: number;
  channels: number;
  patchSize: number;
  /** Whether the projection of patches has a bias. */
  patchBias: boolean;
  /** Whether a learned token precedes the patches (CLIP). It takes the first position; its feature is dropped. */
  classToken: boolean;
  /** Whether a LayerNorm comes before the first block (CLIP). */
  inputNorm: boolean;
  /** Whether a LayerNorm comes behind the last block. */
  outputNorm: boolean;
  width: number;
  /** Blocks that are computed: for features taken further down, fewer than the published encoder has. */
  layers: number;
  heads: number;
  mlpWidth: number;
  activation: Activation;
  normEpsilon: number;
}

/**
 * A vision transformer over frames of any size (Qwen2.5-VL, arXiv 2502.13923): rotary positions of row and column, pre-norm
 * RMSNorm blocks with SwiGLU, biases in every linear layer but the projection of patches, and attention within windows in
 * all but some blocks.
 */
export interface NativeResolutionSpec {
  kind: "native_resolution";
  channels: number;
  /** Side of a patch, in pixels. */
  patchSize: number;
  /** Times that a patch repeats, as the frames of a still video. */
  temporalPatchSize: number;
  width: number;
  layers: number;
  heads: number;
  mlpWidth: number;
  normEpsilon: number;
  /** Side of an attention window, in pixels: windowSize / patchSize is a multiple of the projector's `mergeSize`. */
  windowSize: number;
  /** Blocks, from 0, in which all patches of a frame attend to each other. */
  fullAttentionLayers: number[];
}

export type VisionSpec = FixedResolutionSpec | NativeResolutionSpec;

/** From what the vision encoder makes of patches to tokens of the decoder's width: norm, merge, then an MLP or one linear layer. */
export interface ProjectorSpec {
  /** Side of the square of neighbouring patches whose features, side by side, become one token; 1 merges nothing. */
  mergeSize: number;
  /** Of an RMSNorm over each patch's feature before merging (Qwen2.5-VL); null: none. */
  normEpsilon: number | null;
  /** Width between two linear layers; null: one linear layer. */
  hiddenWidth: number | null;
  /** Between the two; without meaning for one. */
  activation: Activation;
  /** Whether the linear layers have biases. */
  bias: boolean;
  /** Whether there is a learned vector that ends each line of an image's tokens (LLaVA-1.6). */
  newline: boolean;
}

/** A decoder-only transformer: RMSNorm, rotary positions, grouped-query attention, SwiGLU. */
export interface DecoderSpec {
  vocabularySize: number;
  width: number;
  layers: number;
  heads: number;
  keyValueHeads: number;
  headSize: number;
  mlpWidth: number;
  /** Whether queries, keys and values have biases (Qwen2). */
  qkvBias: boolean;
  /** Whether the matrix of token embeddings is also the language-model head. */
  tiedHead: boolean;
  normEpsilon: number;
  ropeTheta: number;
  /**
   * How many of the headSize / 2 rotary frequencies, lowest index first, follow the time, the row and the column of a token
   * (multimodal RoPE, Qwen2-VL, arXiv 2409.12191, section 2.1); null: all follow its place in the sequence.
   */
  ropeSections: [number, number, number] | null;
  /** Factor on the token embeddings (not on image features). */
  embeddingScale: number;
  /** Longest sequence, prompt (image tokens included) and response, in tokens. */
  maxPositions: number;
}

/** The critic: an MLP with ReLU on the final hidden state of the last prompt token. */
export interface ValueHeadSpec {
  hiddenWidths: number[];
  /** Factor in [0, 1] on the gradient that the value sends into the shared model; 0 detaches it. */
  trunkGradientScale: number;
}

/** A vision-language model as data. A model family is a mapping onto this record. */
export interface ModelSpec {
  /** Null for a model of text alone. */
  vision: VisionSpec | null;
  /** Null exactly where `vision` is. */
  projector: ProjectorSpec | null;
  decoder: DecoderSpec;
  valueHead: ValueHeadSpec;
  /** Token id at whose positions image features are spliced in; null exactly where `vision` is. */
  imageTokenId: number | null;
  /** Token id that ends a response. */
  endTokenId: number;
}
