import type { Frame } from "../../envs/env.js";
import type {
  ForwardOptions,
  ForwardResult,
  LoadSource,
  OptimizerStep,
  OutputGradient,
  Prompt,
  RandomKey,
  SamplingSettings,
  SaveTarget,
  Sequence,
  StepResult,
} from "../native/types.js";

/** One answer of a policy to one observation. */
export interface Response {
  readonly tokens: Int32Array;
  /** The tokens as text, without special tokens. */
  readonly text: string;
  /** Log-prob of each token under the sampling temperature, at the time of sampling. */
  readonly logProbs: Float32Array;
  /** V(o, v_in), taken at the last prompt token. */
  readonly value: number;
  readonly finishReason: "end" | "stop" | "length";
}

export interface RespondOptions {
  readonly sampling: SamplingSettings;
  readonly randomKey: RandomKey;
  /** 0 asks for the value alone. */
  readonly maxNewTokens: number;
  readonly stopStrings?: readonly string[];
}

/**
 * What an algorithm trains: a distribution over responses to (image, text) with a value estimate.
 * The same weights answer and are scored, so a response's log-probs and `score`'s are the same numbers
 * until the next `step`.
 */
export interface Policy {
  /** The token that begins every text of the model's vocabulary; undefined where it has none. */
  readonly beginToken?: number | undefined;
  /** Turns an observation into model input: chat template, tokens, pixel values. Keeps nothing of the frame, whose memory is reused. */
  encode(frame: Frame, prompt: string): Prompt;
  respond(prompt: Prompt, options: RespondOptions, signal?: AbortSignal): Promise<Response>;
  /** Text to response tokens, with the end token. For supervised targets. */
  encodeResponse(text: string): Int32Array;
  /**
   * Index of the first token whose text reaches past character `character` of the decoded response;
   * `tokens.length` if none does. Found from decoded text, so exact for every tokenizer.
   */
  tokenAtCharacter(tokens: Int32Array, character: number): number;

  score(sequences: readonly Sequence[], options?: ForwardOptions): Promise<ForwardResult>;
  backward(scores: ForwardResult, gradient: OutputGradient): Promise<void>;
  step(options: OptimizerStep): Promise<StepResult>;

  save(target: SaveTarget): Promise<void>;
  load(source: LoadSource): Promise<void>;
  dispose(): void;
}
