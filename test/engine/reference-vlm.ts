import type { TinyVlmSpec } from "../../src/models/families/tiny-vlm.js";
import type { ParameterInfo, Prompt, RandomKey, Sequence } from "../../src/native/types.js";
import { isKept, keptScale } from "../ops/dropout.case.js";

/** By what the mask of a row is drawn. */
interface RowKey {
  key: RandomKey;
  position: number;
}

/** Rows of one width. */
type Rows = Float64Array[];

export interface LoraSettings {
  rank: number;
  alpha: number;
  dropout: number;
}

/**
 * The whole model in double precision, from its formulas: forward only, one sequence at a time, nothing shared or saved. Adapters
 * are where `weights` has them, and drop what the documented formulas say.
 */
export class ReferenceVlm {
  readonly #spec: TinyVlmSpec;
  readonly #weights: ReadonlyMap<string, ArrayLike<number>>;
  readonly #lora: LoraSettings;
  /** The number of each adapter by the name of its layer. */
  readonly #adapters: ReadonlyMap<string, number>;
  readonly #masks = new Map<string, Uint8Array>();

  constructor(
    spec: TinyVlmSpec,
    parameters: readonly ParameterInfo[],
    weights: ReadonlyMap<string, ArrayLike<number>>,
    lora: LoraSettings,
  ) {
    this.#spec = spec;
    this.#weights = weights;
    this.#lora = lora;
    const names = parameters.map(({ name }) => name).filter((name) => name.endsWith(".lora_A.weight"));
    this.#adapters = new Map(names.map((name, number) => [name.replace(".lora_A.weight", ""), number]));
  }

  /**
   * @param keys of the prompt's rows and of the response's
   * @returns the log-prob of each response token at temperature 1, and the value
   */
  score(
    { prompt, response }: Sequence,
    keys: { prompt: RandomKey; response: RandomKey },
  ): { logProbs: number[]; value: number } {
    const tokens = [...prompt.tokens, ...response.slice(0, -1)];
    const last = prompt.tokens.length - 1;
    const rowKeys = tokens.map((_, position) => ({
      key: position <= last ? keys.prompt : keys.response,
      position,
    }));
    const hidden = this.#decode(tokens, this.#features(prompt, keys.prompt), rowKeys);
    const head = this.#weight("decoder.head.weight");
    const logProbs = Array.from(response, (token, t) => {
      const logits = product(hidden[last + t]!, head, this.#spec.decoder.vocabularySize);
      const highest = Math.max(...logits);
      return logits[token]! - highest - Math.log(logits.reduce((sum, z) => sum + Math.exp(z - highest), 0));
    });
    let x = [hidden[last]!];
    const layers = this.#spec.valueHead.hiddenWidths.length + 1;
    for (let i = 0; i < layers; i++) {
      x = this.#linear(`value_head.layers.${i}`, x, [rowKeys[last]!]);
      if (i + 1 < layers) x = x.map((row) => row.map((v) => Math.max(v, 0)));
    }
    return { logProbs, value: x[0]![0]! };
  }

  /** Of all images of a prompt, one after the other. */
  #features({ images }: Prompt, key: RandomKey): Rows {
    const { imageSize, patchSize, channels, width, layers, heads, normEpsilon } = this.#spec.vision;
    const side = imageSize / patchSize;
    const patch = channels * patchSize ** 2;
    const weight = this.#weight("vision.patch_embed.weight");
    const bias = this.#weight("vision.patch_embed.bias");
    const position = this.#weight("vision.position");
    return images.flatMap(({ pixels }, image) => {
      let x: Rows = Array.from({ length: side ** 2 }, (_, token) => {
        const [top, left] = [Math.floor(token / side) * patchSize, (token % side) * patchSize];
        const values = Float64Array.from({ length: patch }, (_, i) => {
          const [c, dy, dx] = [
            Math.floor(i / patchSize ** 2),
            Math.floor(i / patchSize) % patchSize,
            i % patchSize,
          ];
          return pixels[(c * imageSize + top + dy) * imageSize + left + dx]!;
        });
        return product(values, weight, width).map((v, i) => v + bias[i]! + position[token * width + i]!);
      });
      const keys = x.map((_, token) => ({ key, position: image * side ** 2 + token }));
      const norm = (rows: Rows, name: string) =>
        rows.map((row) =>
          layerNorm(row, this.#weight(`${name}.weight`), this.#weight(`${name}.bias`), normEpsilon),
        );
      for (let i = 0; i < layers; i++) {
        const name = `vision.layers.${i}.`;
        const h = norm(x, `${name}norm1`);
        const [q, k, v] = ["q", "k", "v"].map((part) => this.#linear(`${name}attention.${part}`, h, keys));
        const attended = attention(q!, k!, v!, heads, heads, width / heads, false);
        x = sum(x, this.#linear(`${name}attention.out`, attended, keys));
        const up = this.#linear(`${name}mlp.up`, norm(x, `${name}norm2`), keys);
        x = sum(x, this.#linear(`${name}mlp.down`, map(up, gelu), keys));
      }
      const up = this.#linear("projector.up", norm(x, "vision.norm"), keys);
      return this.#linear("projector.down", map(up, gelu), keys);
    });
  }

  #decode(tokens: readonly number[], features: Rows, keys: readonly RowKey[]): Rows {
    const { width, layers, heads, keyValueHeads, headSize, normEpsilon, ropeTheta, embeddingScale } =
      this.#spec.decoder;
    const table = this.#weight("decoder.embed.weight");
    let next = 0;
    // A response may hold the image token, too, which is a token like any other there.
    let x: Rows = tokens.map((token) =>
      token === this.#spec.imageTokenId && next < features.length
        ? features[next++]!
        : Float64Array.from({ length: width }, (_, i) => embeddingScale * table[token * width + i]!),
    );
    const norm = (rows: Rows, name: string) =>
      rows.map((row) => rmsNorm(row, this.#weight(`${name}.weight`), normEpsilon));
    for (let i = 0; i < layers; i++) {
      const name = `decoder.layers.${i}.`;
      const h = norm(x, `${name}norm1`);
      const [q, k, v] = ["q", "k", "v"].map((part) => this.#linear(`${name}attention.${part}`, h, keys));
      const turn = (rows: Rows) => rows.map((row, position) => rotated(row, position, headSize, ropeTheta));
      const attended = attention(turn(q!), turn(k!), v!, heads, keyValueHeads, headSize, true);
      x = sum(x, this.#linear(`${name}attention.out`, attended, keys));
      const g = norm(x, `${name}norm2`);
      const [gate, up] = ["gate", "up"].map((part) => this.#linear(`${name}mlp.${part}`, g, keys));
      const gated = gate!.map((row, n) => row.map((z, c) => (z / (1 + Math.exp(-z))) * up![n]![c]!));
      x = sum(x, this.#linear(`${name}mlp.down`, gated, keys));
    }
    return norm(x, "decoder.norm");
  }

  /** y = W x + b + (alpha / r) B A d(x), b and adapter where there are any. */
  #linear(name: string, x: Rows, keys: readonly RowKey[]): Rows {
    const weight = this.#weight(`${name}.weight`);
    const bias = this.#weights.get(`${name}.bias`);
    const out = weight.length / x[0]!.length;
    const number = this.#adapters.get(name);
    return x.map((row, n) => {
      const y = product(row, weight, out).map((v, i) => v + (bias ? bias[i]! : 0));
      if (number === undefined) return y;
      const { rank, alpha, dropout } = this.#lora;
      const mask = this.#mask(number, keys[n]!, row.length);
      const kept = row.map((v, c) => (mask[c] ? v * keptScale(dropout) : 0));
      const down = product(kept, this.#weight(`${name}.lora_A.weight`), rank);
      const update = product(down, this.#weight(`${name}.lora_B.weight`), out);
      return y.map((v, i) => v + (alpha / rank) * update[i]!);
    });
  }

  #mask(number: number, { key, position }: RowKey, columns: number): Uint8Array {
    const name = [number, ...key, position].join(" ");
    let mask = this.#masks.get(name);
    if (mask === undefined) {
      const { dropout } = this.#lora;
      mask = Uint8Array.from({ length: columns }, (_, c) =>
        Number(isKept(key, position, number, c, dropout)),
      );
      this.#masks.set(name, mask);
    }
    return mask;
  }

  #weight(name: string): ArrayLike<number> {
    const weight = this.#weights.get(name);
    if (weight === undefined) throw new Error(`no weight ${name}`);
    return weight;
  }
}

/** W x with W (out, in). */
function product(x: Float64Array, weight: ArrayLike<number>, out: number): Float64Array {
  const y = new Float64Array(out);
  for (let o = 0; o < out; o++) for (let i = 0; i < x.length; i++) y[o]! += weight[o * x.length + i]! * x[i]!;
  return y;
}

const map = (rows: Rows, f: (x: number) => number): Rows => rows.map((row) => row.map(f));
const sum = (a: Rows, b: Rows): Rows => a.map((row, n) => row.map((v, i) => v + b[n]![i]!));

function gelu(x: number): number {
  return (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
}

function layerNorm(
  x: Float64Array,
  weight: ArrayLike<number>,
  bias: ArrayLike<number>,
  epsilon: number,
): Float64Array {
  const mean = x.reduce((total, v) => total + v, 0) / x.length;
  const variance = x.reduce((total, v) => total + (v - mean) ** 2, 0) / x.length;
  return x.map((v, i) => ((v - mean) / Math.sqrt(variance + epsilon)) * weight[i]! + bias[i]!);
}

function rmsNorm(x: Float64Array, weight: ArrayLike<number>, epsilon: number): Float64Array {
  const square = x.reduce((total, v) => total + v * v, 0) / x.length;
  return x.map((v, i) => (v / Math.sqrt(square + epsilon)) * weight[i]!);
}

/** Rotary position embedding of all heads of a row, in the half-split form. */
function rotated(x: Float64Array, position: number, headSize: number, theta: number): Float64Array {
  const half = headSize / 2;
  return x.map((v, i) => {
    const k = i % half;
    const angle = position * theta ** ((-2 * k) / headSize);
    const isLow = i % headSize < half;
    const other = x[isLow ? i + half : i - half]!;
    return v * Math.cos(angle) + (isLow ? -other : other) * Math.sin(angle);
  });
}

function attention(
  q: Rows,
  k: Rows,
  v: Rows,
  heads: number,
  keyValueHeads: number,
  headSize: number,
  isCausal: boolean,
): Rows {
  return q.map((query, n) => {
    const y = new Float64Array(heads * headSize);
    for (let head = 0; head < heads; head++) {
      const from = head * headSize;
      const shared = Math.floor(head / (heads / keyValueHeads)) * headSize;
      const seen = isCausal ? n + 1 : k.length;
      const scores = k.slice(0, seen).map((key) => {
        let score = 0;
        for (let d = 0; d < headSize; d++) score += query[from + d]! * key[shared + d]!;
        return score / Math.sqrt(headSize);
      });
      const highest = Math.max(...scores);
      const weights = scores.map((score) => Math.exp(score - highest));
      const total = weights.reduce((a, b) => a + b, 0);
      weights.forEach((weight, m) => {
        for (let d = 0; d < headSize; d++) y[from + d]! += (weight / total) * v[m]![shared + d]!;
      });
    }
    return y;
  });
}
