/**
 * How a sampled response becomes the tokens that an update scores, and their log-probs the decision's log π. By default both
 * are the plain thing: exactly the sampled tokens, λ before the last `"action":` key and 1 from it on. The quirks are what the
 * reference implementation of Zhai et al. 2024 (arXiv 2405.10292) does instead, each on its own.
 */
import type { Policy, Response } from "../policy/policy.js";
import { bfloat16LogProb, lastFiveTokens, shifted, withoutFirstToken } from "../rl/reference-log-prob.js";
import {
  actionStart,
  type ResponseParts,
  responseParts,
  tokenWeights,
  weightedLogProb,
} from "../rl/thought-weights.js";
import { AlgorithmError } from "./algorithm-error.js";

export interface ScoringQuirks {
  /** The action part is the last five tokens, whatever they say. */
  readonly lastFiveTokens: boolean;
  /** The response's first token has no term in log π. */
  readonly dropFirstToken: boolean;
  /**
   * Scoring has the begin token between prompt and response, which sampling had not. Old log-probs then come from a scoring
   * pass before the update, so that the two sides of the ratio still agree.
   */
  readonly insertBeginToken: boolean;
  /** Log-probs of tokens and their sums are rounded to bfloat16. */
  readonly bfloat16LogProbs: boolean;
}

/** A response as an update scores it. */
export interface ScoredTokens {
  /** (T) what follows the prompt. */
  readonly tokens: Int32Array;
  /** (T) of each token in log π. */
  readonly weights: Float64Array;
  readonly parts: ResponseParts;
  /** Whether the response has an action part. */
  readonly hasAction: boolean;
}

/** What scoring needs of a policy. */
export type TokenizingPolicy = Pick<Policy, "tokenAtCharacter" | "beginToken">;

export class Scoring {
  readonly #policy: TokenizingPolicy;
  readonly #quirks: ScoringQuirks;
  readonly #lambda: number;

  /**
   * @param lambda λ, the weight of thought tokens
   * @throws AlgorithmError `INVALID_CONFIG` for a begin token to be inserted that the policy does not have
   */
  constructor(policy: TokenizingPolicy, quirks: ScoringQuirks, lambda: number) {
    if (quirks.insertBeginToken && policy.beginToken === undefined) {
      throw new AlgorithmError(
        "INVALID_CONFIG",
        "quirks.insertBeginToken: expected false, because the policy's vocabulary has no begin token; received true",
      );
    }
    this.#policy = policy;
    this.#quirks = quirks;
    this.#lambda = lambda;
  }

  /** Whether tokens are scored after something else than they were sampled after, beside the prompt. */
  get hasOwnContext(): boolean {
    return this.#quirks.insertBeginToken;
  }

  scored({ tokens, text }: Pick<Response, "tokens" | "text">): ScoredTokens {
    const { dropFirstToken, insertBeginToken } = this.#quirks;
    const whole = this.#parts(tokens, text);
    const kept = dropFirstToken ? withoutFirstToken(whole) : whole;
    const inserted = insertBeginToken ? [this.#policy.beginToken!] : [];
    const parts = shifted(kept, inserted.length);
    const scored = inserted.length > 0 ? Int32Array.of(...inserted, ...tokens) : tokens;
    const weights = tokenWeights(scored.length, parts, this.#lambda);
    return { tokens: scored, weights, parts, hasAction: parts.action.end > parts.action.start };
  }

  /** log π of a response. @param logProbs (T) of `scored.tokens` */
  logProb(logProbs: Float32Array, { weights, parts }: Pick<ScoredTokens, "weights" | "parts">): number {
    return this.#quirks.bfloat16LogProbs
      ? bfloat16LogProb(logProbs, parts, this.#lambda)
      : weightedLogProb(logProbs, weights);
  }

  #parts(tokens: Int32Array, text: string): ResponseParts {
    if (this.#quirks.lastFiveTokens) return lastFiveTokens(tokens.length);
    const start = actionStart(text);
    return responseParts(
      tokens.length,
      start === undefined ? undefined : this.#policy.tokenAtCharacter(tokens, start),
    );
  }
}
