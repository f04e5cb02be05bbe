import type { Activation } from "../../src/native/model-spec.js";
import type { ParameterInfo, RandomKey } from "../../src/native/types.js";
import { normalShare } from "../ops/activations.case.js";
import { isKept, keptScale } from "../ops/dropout.case.js";

/** Rows of one width. */
export type Rows = Float64Array[];

/** By what the mask of a row is drawn. */
export interface RowKey {
  key: RandomKey;
  position: number;
}

export interface LoraSettings {
  rank: number;
  alpha: number;
  dropout: number;
}

/** A model's weights and the layers that they make, in double precision. Adapters are where the weights have them. */
export class ReferenceLayers {
  readonly #weights: ReadonlyMap<string, ArrayLike<number>>;
  readonly #lora: LoraSettings;
  /** The number of each adapter by the name of its layer. */
  readonly #adapters: ReadonlyMap<string, number>;
  readonly #masks = new Map<string, Uint8Array>();

  constructor(
    parameters: readonly ParameterInfo[],
    weights: ReadonlyMap<string, ArrayLike<number>>,
    lora: LoraSettings,
  ) {
    this.#weights = weights;
    this.#lora = lora;
    const names = parameters.map(({ name }) => name).filter((name) => name.endsWith(".lora_A.weight"));
    this.#adapters = new Map(names.map((name, number) => [name.replace(".lora_A.weight", ""), number]));
  }

  weight(name: string): ArrayLike<number> {
    const weight = this.#weights.get(name);
    if (weight === undefined) throw new Error(`no weight ${name}`);
    return weight;
  }

  /** y = W x + b + (alpha / r) B A d(x), b and adapter where there are any. */
  linear(name: string, x: Rows, keys: readonly RowKey[]): Rows {
    const weight = this.weight(`${name}.weight`);
    const bias = this.#weights.get(`${name}.bias`);
    const out = weight.length / x[0]!.length;
    const number = this.#adapters.get(name);
    return x.map((row, n) => {
      const y = product(row, weight, out).map((v, i) => v + (bias ? bias[i]! : 0));
      if (number === undefined) return y;
      const { rank, alpha, dropout } = this.#lora;
      const mask = this.#mask(number, keys[n]!, row.length);
      const kept = row.map((v, c) => (mask[c] ? v * keptScale(dropout) : 0));
      const down = product(kept, this.weight(`${name}.lora_A.weight`), rank);
      const update = product(down, this.weight(`${name}.lora_B.weight`), out);
      return y.map((v, i) => v + (alpha / rank) * update[i]!);
    });
  }

  layerNorm(name: string, x: Rows, epsilon: number): Rows {
    const [weight, bias] = [this.weight(`${name}.weight`), this.weight(`${name}.bias`)];
    return x.map((row) => {
      const mean = row.reduce((total, v) => total + v, 0) / row.length;
      const variance = row.reduce((total, v) => total + (v - mean) ** 2, 0) / row.length;
      return row.map((v, i) => ((v - mean) / Math.sqrt(variance + epsilon)) * weight[i]! + bias[i]!);
    });
  }

  rmsNorm(name: string, x: Rows, epsilon: number): Rows {
    const weight = this.weight(`${name}.weight`);
    return x.map((row) => {
      const square = row.reduce((total, v) => total + v * v, 0) / row.length;
      return row.map((v, i) => (v / Math.sqrt(square + epsilon)) * weight[i]!);
    });
  }

  /** down(silu(gate x) * up x) */
  swiglu(name: string, x: Rows, keys: readonly RowKey[]): Rows {
    const [gate, up] = ["gate", "up"].map((part) => this.linear(`${name}.${part}`, x, keys));
    const gated = gate!.map((row, n) => row.map((z, c) => (z / (1 + Math.exp(-z))) * up![n]![c]!));
    return this.linear(`${name}.down`, gated, keys);
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
}

/** W x with W (out, in). */
export function product(x: Float64Array, weight: ArrayLike<number>, out: number): Float64Array {
  const y = new Float64Array(out);
  for (let o = 0; o < out; o++) for (let i = 0; i < x.length; i++) y[o]! += weight[o * x.length + i]! * x[i]!;
  return y;
}

export const map = (rows: Rows, f: (x: number) => number): Rows => rows.map((row) => row.map(f));
export const sum = (a: Rows, b: Rows): Rows => a.map((row, n) => row.map((v, i) => v + b[n]![i]!));

/** Every `count` rows side by side. */
export const joined = (rows: Rows, count: number): Rows =>
  Array.from({ length: rows.length / count }, (_, n) =>
    Float64Array.from(rows.slice(n * count, (n + 1) * count).flatMap((row) => [...row])),
  );

export const activations: Readonly<Record<Activation, (x: number) => number>> = {
  gelu: (x) => x * normalShare(x),
  gelu_tanh: (x) => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  quick_gelu: (x) => x / (1 + Math.exp(-1.702 * x)),
};

/** The heads of a row rotated in the half-split form. @param angles one per pair of a head */
export function rotated(x: Float64Array, angles: readonly number[]): Float64Array {
  const half = angles.length;
  return x.map((v, i) => {
    const angle = angles[i % half]!;
    const isLow = i % (2 * half) < half;
    const other = x[isLow ? i + half : i - half]!;
    return v * Math.cos(angle) + (isLow ? -other : other) * Math.sin(angle);
  });
}

/** @param sees whether row n sees row m */
export function attention(
  q: Rows,
  k: Rows,
  v: Rows,
  heads: number,
  keyValueHeads: number,
  sees: (n: number, m: number) => boolean,
): Rows {
  const headSize = q[0]!.length / heads;
  return q.map((query, n) => {
    const y = new Float64Array(heads * headSize);
    const seen = [...k.keys()].filter((m) => sees(n, m));
    for (let head = 0; head < heads; head++) {
      const from = head * headSize;
      const shared = Math.floor(head / (heads / keyValueHeads)) * headSize;
      const scores = seen.map((m) => {
        let score = 0;
        for (let d = 0; d < headSize; d++) score += query[from + d]! * k[m]![shared + d]!;
        return score / Math.sqrt(headSize);
      });
      const highest = Math.max(...scores);
      const weights = scores.map((score) => Math.exp(score - highest));
      const total = weights.reduce((a, b) => a + b, 0);
      weights.forEach((weight, i) => {
        for (let d = 0; d < headSize; d++) y[from + d]! += (weight / total) * v[seen[i]!]![shared + d]!;
      });
    }
    return y;
  });
}
