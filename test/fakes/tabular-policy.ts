import { readFile, writeFile } from "node:fs/promises";
import type { Frame } from "../../envs/env.js";
import type {
  Component,
  ForwardOptions,
  ForwardResult,
  LoadSource,
  OptimizerStep,
  OutputGradient,
  ParameterGroup,
  Prompt,
  SaveTarget,
  Sequence,
  StepResult,
} from "../../src/native/types.js";
import type { Policy, RespondOptions, Response } from "../../src/policy/policy.js";
import { Random } from "../../src/random.js";
import { POSITIONS } from "./line-world.js";

/** Token 0 ends a response, and stands for the start of one as a context. */
const TEXTS = ["", '{"thoughts": "up", ', '{"thoughts": "down", ', '"action": "+"}', '"action": "-"}'];
const END = 0;
const VOCABULARY = TEXTS.length;
const STATES = POSITIONS * POSITIONS;
/** Logit by which a token that the grammar allows leads over the others at the start. */
const GRAMMAR = 5;
const GRAMMAR_AFTER = [[1, 2], [3, 4], [3, 4], [END], [END]];

/** Parameters with their gradient and Adam's moments. */
interface Table {
  readonly weights: Float64Array;
  readonly gradient: Float64Array;
  readonly first: Float64Array;
  readonly second: Float64Array;
}

function table(size: number): Table {
  const zeros = (): Float64Array => new Float64Array(size);
  return { weights: zeros(), gradient: zeros(), first: zeros(), second: zeros() };
}

/**
 * A policy over line worlds without a network: a softmax over five tokens for every pair of state and previous
 * token, and a value for every state, with analytic gradients and AdamW. At the start it writes responses of the
 * right form that know nothing of the state.
 */
export class TabularPolicy implements Policy {
  readonly #logits = table(STATES * VOCABULARY * VOCABULARY);
  readonly #values = table(STATES);
  #steps = 0;
  #tapes = 0;
  readonly #tape = new Map<number, { sequences: readonly Sequence[]; temperature: number }>();

  constructor() {
    for (let context = 0; context < STATES * VOCABULARY; context++) {
      for (const token of GRAMMAR_AFTER[context % VOCABULARY]!) {
        this.#logits.weights[context * VOCABULARY + token] = GRAMMAR;
      }
    }
  }

  /** Everything trained so far, for comparison. */
  parameters(): { logits: Float64Array; values: Float64Array } {
    return { logits: this.#logits.weights.slice(), values: this.#values.weights.slice() };
  }

  encode(frame: Frame, _prompt: string): Prompt {
    return { tokens: Int32Array.of(frame.data[0]! * POSITIONS + frame.data[1]!), images: [] };
  }

  async respond(prompt: Prompt, options: RespondOptions, _signal?: AbortSignal): Promise<Response> {
    const random = new Random(options.randomKey);
    const { temperature } = options.sampling;
    const tokens: number[] = [];
    const logProbs: number[] = [];
    while (tokens.length < options.maxNewTokens && (tokens.length === 0 || tokens.at(-1) !== END)) {
      const distribution = this.#logProbs(prompt, tokens.at(-1) ?? END, temperature);
      let left = random.uniform();
      let token = 0;
      while (token < VOCABULARY - 1 && left >= Math.exp(distribution[token]!)) {
        left -= Math.exp(distribution[token]!);
        token += 1;
      }
      tokens.push(token);
      logProbs.push(distribution[token]!);
    }
    return {
      tokens: Int32Array.from(tokens),
      text: tokens.map((token) => TEXTS[token]).join(""),
      logProbs: Float32Array.from(logProbs),
      value: this.#value(prompt),
      finishReason: tokens.at(-1) === END ? "end" : "length",
    };
  }

  encodeResponse(text: string): Int32Array {
    const tokens: number[] = [];
    for (let rest = text; rest !== ""; rest = rest.slice(TEXTS[tokens.at(-1)!]!.length)) {
      const token = TEXTS.findIndex((piece) => piece !== "" && rest.startsWith(piece));
      if (token < 0) throw new Error(`no token begins ${rest}`);
      tokens.push(token);
    }
    return Int32Array.of(...tokens, END);
  }

  tokenAtCharacter(tokens: Int32Array, character: number): number {
    let end = 0;
    const index = tokens.findIndex((token) => {
      end += TEXTS[token]!.length;
      return end > character;
    });
    return index < 0 ? tokens.length : index;
  }

  async score(sequences: readonly Sequence[], options: ForwardOptions = {}): Promise<ForwardResult> {
    const { temperature = 1, entropies } = options;
    const distributions = sequences.flatMap(({ prompt, response }) =>
      Array.from(response, (token, t) => ({
        token,
        logProbs: this.#logProbs(prompt, response[t - 1] ?? END, temperature),
      })),
    );
    const offsets = new Int32Array(sequences.length + 1);
    sequences.forEach(({ response }, b) => {
      offsets[b + 1] = offsets[b]! + response.length;
    });
    const tape = this.#tapes++;
    this.#tape.set(tape, { sequences, temperature });
    return {
      logProbs: Float32Array.from(distributions, ({ token, logProbs }) => logProbs[token]!),
      offsets,
      values: Float32Array.from(sequences, ({ prompt }) => this.#value(prompt)),
      ...(entropies && { entropies: Float32Array.from(distributions, ({ logProbs }) => entropy(logProbs)) }),
      tape,
    };
  }

  async backward(scores: ForwardResult, gradient: OutputGradient): Promise<void> {
    const { sequences, temperature } = this.#tape.get(scores.tape)!;
    this.#tape.delete(scores.tape);
    let n = 0;
    sequences.forEach(({ prompt, response }, b) => {
      this.#values.gradient[state(prompt)]! += gradient.values?.[b] ?? 0;
      response.forEach((token, t) => {
        const previous = response[t - 1] ?? END;
        const logProbs = this.#logProbs(prompt, previous, temperature);
        const h = entropy(logProbs);
        logProbs.forEach((logProb, j) => {
          const probability = Math.exp(logProb);
          const byLogProb = gradient.logProbs[n]! * (Number(j === token) - probability);
          const byEntropy = -(gradient.entropies?.[n] ?? 0) * probability * (logProb + h);
          this.#logits.gradient[row(prompt, previous) + j]! += (byLogProb + byEntropy) / temperature;
        });
        n += 1;
      });
    });
  }

  async step({ groups, betas = [0.9, 0.999], epsilon = 1e-8 }: OptimizerStep): Promise<StepResult> {
    this.#steps += 1;
    const gradientNorms = groups.map((group) => this.#stepGroup(group, betas, epsilon));
    this.#logits.gradient.fill(0);
    this.#values.gradient.fill(0);
    return { gradientNorms };
  }

  async save({ model }: SaveTarget): Promise<void> {
    const moments = [this.#logits, this.#values].map(({ weights, first, second }) => [
      weights,
      first,
      second,
    ]);
    const saved = { steps: this.#steps, tables: moments.map((arrays) => arrays.map((array) => [...array])) };
    await writeFile(model as string, JSON.stringify(saved));
  }

  async load({ model }: LoadSource): Promise<void> {
    const saved = JSON.parse(await readFile(model as string, "utf8")) as {
      steps: number;
      tables: number[][][];
    };
    this.#steps = saved.steps;
    [this.#logits, this.#values].forEach(({ weights, first, second }, i) => {
      [weights, first, second].forEach((array, j) => {
        array.set(saved.tables[i]![j]!);
      });
    });
  }

  dispose(): void {}

  #stepGroup(group: ParameterGroup, [beta1, beta2]: readonly [number, number], epsilon: number): number {
    const { learningRate, maxGradientNorm = Number.POSITIVE_INFINITY, weightDecay = 0 } = group;
    const owners: [Component, Table][] = [
      ["decoder", this.#logits],
      ["value_head", this.#values],
    ];
    const tables = owners.flatMap(([owner, parameters]) =>
      group.components.includes(owner) ? [parameters] : [],
    );
    const squares = tables.flatMap(({ gradient }) => [...gradient]).reduce((sum, g) => sum + g * g, 0);
    const norm = Math.sqrt(squares);
    const scale = norm > maxGradientNorm ? maxGradientNorm / norm : 1;
    for (const { weights, gradient, first, second } of tables) {
      weights.forEach((weight, i) => {
        const g = scale * gradient[i]!;
        first[i] = beta1 * first[i]! + (1 - beta1) * g;
        second[i] = beta2 * second[i]! + (1 - beta2) * g * g;
        const mean = first[i]! / (1 - beta1 ** this.#steps);
        const root = Math.sqrt(second[i]! / (1 - beta2 ** this.#steps));
        weights[i] = weight - learningRate * (mean / (root + epsilon) + weightDecay * weight);
      });
    }
    return norm;
  }

  #value(prompt: Prompt): number {
    return Math.fround(this.#values.weights[state(prompt)]!);
  }

  #logProbs(prompt: Prompt, previous: number, temperature: number): number[] {
    const start = row(prompt, previous);
    const logits = [...this.#logits.weights.subarray(start, start + VOCABULARY)].map((x) => x / temperature);
    const logSum = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
    return logits.map((logit) => logit - logSum);
  }
}

function state(prompt: Prompt): number {
  return prompt.tokens[0]!;
}

/** Where the logits that follow `previous` in the prompt's state begin. */
function row(prompt: Prompt, previous: number): number {
  return (state(prompt) * VOCABULARY + previous) * VOCABULARY;
}

function entropy(logProbs: readonly number[]): number {
  return -logProbs.reduce((sum, logProb) => sum + Math.exp(logProb) * logProb, 0);
}
