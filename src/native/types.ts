/** The typed boundary to the native engine: what crosses, in which shapes and units. */

import type { ModelSpec } from "./model-spec.js";

/** Two unsigned 32-bit words that key a counter-based random stream (see `random.ts`). */
export type RandomKey = readonly [number, number];

/** Instruction-set path of the CPU backend. */
export type CpuPath = "portable" | "avx2" | "avx512" | "avx512_bf16";

/**
 * `fp32`: everything is. `bf16`: operands of matrix products are rounded to bfloat16, to nearest even, and what lies between
 * two products is stored so: activations and their gradients, keys and values, and matrices that are not trained. Trained
 * weights, their gradients and optimizer state, the residual stream, norms, sums, log-probs and values are fp32 in both.
 * On CPUs with bfloat16 instructions (path avx512_bf16) it doubles the peak of products; other paths emulate it. Memory
 * and its traffic are halved on all.
 */
export type Precision = "fp32" | "bf16";

/** The parts of a model that can be trained or frozen apart. */
export type Component = "vision" | "projector" | "decoder" | "value_head";

/** `all` trains the weights, `lora` trains low-rank adapters on the linear layers, `frozen` nothing. */
export type Trainable = "all" | "lora" | "frozen";

export interface LoraSpec {
  /** Rank r >= 1 of the update W + (alpha / r) B A. */
  rank: number;
  alpha: number;
  /**
   * Linear layers that get adapters, by the name of their weight without ".weight" (see `ParameterInfo.name`), all in components
   * trained as `lora`; the rest of those components is frozen. Default: every linear layer of them.
   */
  modules?: readonly string[];
  /**
   * Probability p in [0, 1) with which each adapter drops elements of its input; default 0. The layer is then
   * W x + (alpha / r) B A d(x), where d sets an element to zero with probability p and divides the others by 1 - p.
   *
   * Something is dropped in every pass, `generate` and `forward` alike: the model that answers is one draw of many, and
   * `forward` draws others. The masks are a function of these alone, whatever runs beside (the formula is in native/ops/dropout.h):
   * - in `generate`, those of a response's tokens of the request's `randomKey` and the position; those of its prompt and images of
   *   their contents, the engine's seed and the number of optimizer steps so far, so that requests share prompts as ever;
   * - in `forward`, those of a response's tokens of `dropoutKey`, the index of the sequence in the batch and the position; those
   *   of a prompt and its images of `dropoutKey` and their contents.
   */
  dropout?: number;
}

/**
 * Where a model lives and computes: this machine's CPU, its first NVIDIA GPU, or another one by its number from 0. GPUs need
 * compute capability 8.0 (A100) or higher and the library of the CUDA backend; `sightline doctor` shows what is missing.
 */
export type DeviceName = "cpu" | "cuda" | `cuda:${number}`;

export interface EngineOptions {
  model: ModelSpec;
  /**
   * Default cpu. On a GPU a result is the same bits whenever the same calls are made, but products of other sizes may be
   * summed in another order: what `generate` reports then differs from `forward` by rounding, and so may what a request gets
   * when others run beside it.
   */
  device?: DeviceName;
  /** Number of threads of the CPU, >= 1; results do not depend on it. Default: the number of cores. Unused on a GPU. */
  threads?: number;
  /** Instruction-set path of the CPU; default: `SIGHTLINE_CPU` if set, else the best that this CPU has. Refused for a GPU. */
  cpu?: CpuPath;
  /**
   * Default fp32. In bf16 the matrices of frozen components and those that adapters are added to are rounded when they are
   * loaded; everything is saved as fp32, which holds them exactly.
   */
  precision?: Precision;
  /** Seed of the initial weights, and of what adapters drop in `generate`. */
  seed?: number;
  /** What to train, by component; default: everything. */
  trainable?: Partial<Record<Component, Trainable>>;
  /** Required exactly when a component is trained as `lora`. */
  lora?: LoraSpec;
  /** Requests decoded together at most; default 64. Results do not depend on it. */
  maxBatch?: number;
  /** Most memory the engine may hold, in bytes; default: unlimited. */
  memoryLimitBytes?: number;
  /** Recompute each layer's activations in the backward pass instead of keeping them. */
  activationCheckpointing?: boolean;
  /**
   * Compute nothing, but count: memory is accounted for to the byte without being taken, and a profile counts the work of
   * every op. Log-probs, values and gradient norms are 0, every sampled token is token 0. Default false.
   */
  dryRun?: boolean;
  /** The bytes of text that each token id stands for, none for special tokens. Needed for stop strings. */
  tokenBytes?: readonly Uint8Array[];
}

/** In pixels; the native code takes sides from 1 to 16384. */
export interface ImageSize {
  readonly width: number;
  readonly height: number;
}

/** An 8-bit image: `data` holds (height, width, channels), row by row from the top left. */
export interface ByteImage extends ImageSize {
  readonly channels: 1 | 3;
  readonly data: Uint8Array;
}

/** Kernels that images are resized with, by Pillow's names. */
export type ResampleFilter = "box" | "bilinear" | "bicubic" | "lanczos";

/** Pixel values as `ImageInput.pixels` holds them. */
export type PixelValues = Float32Array;

/** Stands in `ImageInput.tokens` for the model's learned newline vector. */
export const NEWLINE_TOKEN = -1;

/** An image as a vision encoder takes it. */
export interface ImageInput {
  /**
   * For a fixed resolution (views, channels, imageSize, imageSize), row-major, at least one view. For a native one
   * (rows * columns, channels * temporalPatchSize * patchSize^2): the patches of `grid` in the order (row / M, column / M,
   * row % M, column % M) with M the projector's `mergeSize`, so that those of one token follow each other.
   */
  pixels: PixelValues;
  /** Patches down and across, multiples of `mergeSize`; for a native resolution only. */
  grid?: { rows: number; columns: number };
  /**
   * Which of the image's features, one per merged square of patches, view by view and row by row, become the image's tokens,
   * in their order; `NEWLINE_TOKEN` is the newline vector. Default: all, in order. For a fixed resolution only.
   */
  tokens?: Int32Array;
}

/** Token ids with `imageTokenId` repeated once per image token, and the images in order. */
export interface Prompt {
  tokens: Int32Array;
  images: readonly ImageInput[];
}

export interface SamplingSettings {
  /** >= 0; 0 decodes greedily. Log-probs are of the temperature-scaled full softmax (greedy: of temperature 1). */
  temperature: number;
  /** Keep the k most likely tokens; 0 keeps all. */
  topK?: number;
  /** Keep the smallest set of tokens whose probability reaches p, in (0, 1]; default 1 keeps all. */
  topP?: number;
}

export interface GenerateRequest {
  prompt: Prompt;
  sampling: SamplingSettings;
  /** Keys the request's random numbers, what is sampled and what is dropped; the result depends on it, never on arrival or neighbours. */
  randomKey: RandomKey;
  /** >= 0; 0 computes only the value of the prompt. */
  maxNewTokens: number;
  /** The response ends when its text contains one of these (the stop string stays in the response). */
  stopStrings?: readonly string[];
}

export interface Completion {
  /** The sampled tokens, with the end token if it was sampled. */
  tokens: Int32Array;
  /** Per token, of the distribution that `SamplingSettings.temperature` defines, before top-k and top-p. */
  logProbs: Float32Array;
  /** Value at the last prompt token. */
  value: number;
  finishReason: "end" | "stop" | "length";
}

export interface Sequence {
  prompt: Prompt;
  /** Tokens whose log-probs are wanted; at least one. */
  response: Int32Array;
}

export interface ForwardOptions {
  /** > 0; divides the logits, as in sampling. Default 1. */
  temperature?: number;
  /** Also return the entropy of each response token's distribution, in nats. */
  entropies?: boolean;
  /** Keep what `backward` needs; default true. */
  keepTape?: boolean;
  /**
   * Keys what adapters drop (see `LoraSpec.dropout`): required where they do, and to be another one in every call; unused where
   * they do not. `backward` draws the same masks again.
   */
  dropoutKey?: RandomKey;
}

/** Results for B sequences with N response tokens in all, packed one after the other. */
export interface ForwardResult {
  /** (N) log-prob of each response token given all before it. */
  readonly logProbs: Float32Array;
  /** (B + 1) start of each sequence in the packed arrays; the last entry is N. */
  readonly offsets: Int32Array;
  /** (B) value at each last prompt token. */
  readonly values: Float32Array;
  /** (N), present when asked for. */
  readonly entropies?: Float32Array;
  /** Names the tape inside the engine. */
  readonly tape: number;
}

/** Gradient of a scalar loss with respect to what `forward` returned. */
export interface OutputGradient {
  /** (N) dL / d log-prob. */
  logProbs: Float32Array;
  /** (B) dL / d value; omitted: zero. */
  values?: Float32Array;
  /** (N) dL / d entropy; omitted: zero. Needs `entropies: true` in the forward. */
  entropies?: Float32Array;
}

/** Parameters that share optimizer settings and are clipped together. */
export interface ParameterGroup {
  components: readonly Component[];
  learningRate: number;
  /** Largest global norm of the group's gradient, > 0; omitted: no clipping. */
  maxGradientNorm?: number;
  /** Decoupled weight decay, >= 0. Default 0. */
  weightDecay?: number;
}

/** One AdamW step (Loshchilov and Hutter 2019) over all accumulated gradients, which it then clears. */
export interface OptimizerStep {
  groups: readonly ParameterGroup[];
  /** Default [0.9, 0.999]. */
  betas?: readonly [number, number];
  /** Default 1e-8. */
  epsilon?: number;
}

export interface StepResult {
  /** Norm of each group's gradient before clipping, in the order of `groups`. */
  gradientNorms: number[];
}

/**
 * Safetensors files that hold parameters under names of their own. Together the files hold each tensor once; a tensor may have another
 * shape than its parameter where both have the same number of elements.
 */
export interface TensorFiles {
  files: readonly string[];
  /** Tensor by parameter (`ParameterInfo.name`). */
  names: Readonly<Record<string, string>>;
  /** Tensors of the files that the model has no use for; every other one must be named. */
  ignored?: readonly string[];
  /** Tensors that may be there and must then have the type and the bytes of another one, by its name: a tied head. */
  copies?: Readonly<Record<string, string>>;
}

export interface SaveTarget {
  /** Weights as one safetensors file under the parameters' own names, in fp32; or files of some parameters each, under other names. */
  model: string | readonly SavedTensors[];
  /** Optimizer state, as safetensors; omitted: not written. */
  optimizer?: string;
}

/** A safetensors file to be written. */
export interface SavedTensors {
  file: string;
  /** Tensor by parameter. */
  names: Readonly<Record<string, string>>;
  /** Element type in the file; default F32. Others round to nearest even. */
  type?: "F32" | "BF16" | "F16";
  /** Shapes that differ from the parameter's, by parameter, of the same number of elements. */
  shapes?: Readonly<Record<string, readonly number[]>>;
}

export interface LoadSource {
  /**
   * Weights: one safetensors file under the parameters' own names, or files under other names, which together name every
   * parameter. Adapters and the value head may be left out as a whole and then start anew.
   */
  model: string | readonly TensorFiles[];
  optimizer?: string;
}

export interface ParameterInfo {
  name: string;
  shape: number[];
  component: Component;
  trainable: boolean;
}

export type MemoryPurpose =
  | "weights"
  | "adapter"
  | "gradients"
  | "optimizer"
  | "activations"
  | "kv_cache"
  | "workspace";

/** Bytes held now and at most so far, by purpose, and of all together: peaks need not come at the same time. */
export type MemoryUse = Record<MemoryPurpose | "total", { currentBytes: number; peakBytes: number }>;

/** The part of `EngineOptions` that the speed of arithmetic depends on. */
export type PeakOptions = Pick<EngineOptions, "threads" | "cpu">;

/** A GPU that the CUDA driver lists. */
export interface Gpu {
  readonly name: string;
  /** E.g. "8.0". */
  readonly computeCapability: string;
  readonly memoryBytes: number;
}

/** What the CUDA backend finds on this machine. */
export interface CudaFindings {
  /** The backend's library. */
  readonly file: string;
  /** The CUDA version that the driver supports, e.g. "12.8"; null without a driver. */
  readonly driverVersion: string | null;
  /** The CUDA version that the library was built with. */
  readonly runtimeVersion: string;
  readonly gpus: readonly Gpu[];
  /** What is missing, each with the way out; empty where every GPU can be used. */
  readonly problems: readonly string[];
}

/** The most that a number of threads of this machine do on one instruction-set path, as measured. */
export interface Peaks {
  readonly threads: number;
  readonly cpu: CpuPath;
  /** 10^9 floating-point operations per second in fp32, a multiply-add counted as two. */
  readonly fp32GflopsPerSecond: number;
  /** The same for products of bf16 numbers summed in fp32; null where the path has no such instruction. */
  readonly bf16GflopsPerSecond: number | null;
  /** 10^9 bytes per second read from main memory. Operands that are still in a cache arrive faster. */
  readonly readGigabytesPerSecond: number;
}

/** All calls of one op from within one engine call. */
export interface OpTotals {
  /** Name in `native/ops/op_list.h`. */
  readonly op: string;
  /** Name of the engine call. */
  readonly call: string;
  readonly calls: number;
  readonly milliseconds: number;
  /** What the op's formula takes in fp32, by the counts of `native/ops/op_work.cpp`; a multiply-add counts as two. */
  readonly flops: number;
  /** The same in products of bf16 numbers. */
  readonly bf16Flops: number;
  /** What must move if every operand is read once and every result written once. */
  readonly bytes: number;
}

/**
 * One of the engine's calls: `forward`, `backward`, `step`, `save`, `load`; `generate` is one step for all requests in
 * flight, within which it may `prefill`, `decode` and `sample`.
 */
export interface CallTotals {
  readonly call: string;
  readonly calls: number;
  readonly milliseconds: number;
  /** Of these, in calls within it. */
  readonly nestedMilliseconds: number;
}

/** E calls of ops and of the engine, in the order in which they began; what encloses others comes before them. */
export interface ProfileEvents {
  /** (E) index into `Profile.names`. */
  readonly kinds: Int32Array;
  /** (E) milliseconds since the profile began. */
  readonly startsMs: Float64Array;
  readonly endsMs: Float64Array;
  /** (E) as in `OpTotals`; zero for calls of the engine. */
  readonly flops: Float64Array;
  readonly bf16Flops: Float64Array;
  readonly bytes: Float64Array;
  /** (E, 4) the sizes that a call of an op is known by, as `native/ops/op_work.h` lists them; -1 where it has fewer. */
  readonly shapes: Float64Array;
}

/** What an engine did for some time. */
export interface Profile {
  readonly milliseconds: number;
  /** Of these, in the engine's calls; in the others it waited. */
  readonly busyMilliseconds: number;
  /** Exact, however many calls there were. */
  readonly ops: readonly OpTotals[];
  readonly calls: readonly CallTotals[];
  /** What `ProfileEvents.kinds` stands for: `opCount` ops, then calls of the engine. */
  readonly names: readonly string[];
  readonly opCount: number;
  /** The first 262 144 events. */
  readonly events: ProfileEvents;
  readonly eventsLeftOut: number;
}
