import type { ModelSpec } from "../../src/native/model-spec.js";
import type { ImageInput, ParameterInfo, Prompt, RandomKey, Sequence } from "../../src/native/types.js";
import {
  attention,
  type LoraSettings,
  product,
  ReferenceLayers,
  type RowKey,
  type Rows,
  rotated,
  sum,
} from "./reference-layers.js";
import { imageFeatures } from "./reference-vision.js";

const noLora: LoraSettings = { rank: 1, alpha: 1, dropout: 0 };

/**
 * The whole model in double precision, from its formulas: forward only, one sequence at a time, nothing shared or saved. Adapters
 * are where `weights` has them, and drop what the documented formulas say.
 */
export class ReferenceVlm {
  readonly #spec: ModelSpec;
  readonly #layers: ReferenceLayers;

  constructor(
    spec: ModelSpec,
    parameters: readonly ParameterInfo[],
    weights: ReadonlyMap<string, ArrayLike<number>>,
    lora: LoraSettings = noLora,
  ) {
    this.#spec = spec;
    this.#layers = new ReferenceLayers(parameters, weights, lora);
  }

  /**
   * @param keys of the prompt's rows and of the response's; without meaning where nothing is dropped
   * @returns the log-prob of each response token at temperature 1, and the value
   */
  score(
    { prompt, response }: Sequence,
    keys: { prompt: RandomKey; response: RandomKey } = { prompt: [0, 0], response: [0, 0] },
  ): { logProbs: number[]; value: number } {
    const tokens = [...prompt.tokens, ...response.slice(0, -1)];
    const last = prompt.tokens.length - 1;
    const rowKeys = tokens.map((_, position) => ({
      key: position <= last ? keys.prompt : keys.response,
      position,
    }));
    const features = imageFeatures(this.#spec, this.#layers, prompt.images, keys.prompt);
    const hidden = this.#decode(prompt, tokens, features, rowKeys);
    const { tiedHead, vocabularySize } = this.#spec.decoder;
    const head = this.#layers.weight(tiedHead ? "decoder.embed.weight" : "decoder.head.weight");
    const logProbs = Array.from(response, (token, t) => {
      const logits = product(hidden[last + t]!, head, vocabularySize);
      const highest = Math.max(...logits);
      return logits[token]! - highest - Math.log(logits.reduce((sum, z) => sum + Math.exp(z - highest), 0));
    });
    let x = [hidden[last]!];
    const layers = this.#spec.valueHead.hiddenWidths.length + 1;
    for (let i = 0; i < layers; i++) {
      x = this.#layers.linear(`value_head.layers.${i}`, x, [rowKeys[last]!]);
      if (i + 1 < layers) x = x.map((row) => row.map((v) => Math.max(v, 0)));
    }
    return { logProbs, value: x[0]![0]! };
  }

  #decode(prompt: Prompt, tokens: readonly number[], features: Rows, keys: readonly RowKey[]): Rows {
    const { width, heads, keyValueHeads, headSize, normEpsilon, ropeTheta, ropeSections, ...decoder } =
      this.#spec.decoder;
    const layers = this.#layers;
    const table = layers.weight("decoder.embed.weight");
    let next = 0;
    // A response may hold the image token, too, which is a token like any other there.
    let x: Rows = tokens.map((token) =>
      token === this.#spec.imageTokenId && next < features.length
        ? features[next++]!
        : Float64Array.from({ length: width }, (_, i) => decoder.embeddingScale * table[token * width + i]!),
    );
    const axes =
      ropeSections === null
        ? tokens.map((_, t) => [t, t, t] as const)
        : multimodalPositions(this.#spec, prompt, tokens.length);
    const axisOf = (ropeSections ?? [headSize / 2, 0, 0]).flatMap((count, axis) =>
      new Array<number>(count).fill(axis),
    );
    const angles = axes.map((position) =>
      axisOf.map((axis, k) => position[axis]! * ropeTheta ** ((-2 * k) / headSize)),
    );
    for (let i = 0; i < decoder.layers; i++) {
      const name = `decoder.layers.${i}`;
      const h = layers.rmsNorm(`${name}.norm1`, x, normEpsilon);
      const [q, k, v] = ["q", "k", "v"].map((part) => layers.linear(`${name}.attention.${part}`, h, keys));
      const turn = (rows: Rows) => rows.map((row, n) => rotated(row, angles[n]!));
      const attended = attention(turn(q!), turn(k!), v!, heads, keyValueHeads, (n, m) => m <= n);
      x = sum(x, layers.linear(`${name}.attention.out`, attended, keys));
      x = sum(x, layers.swiglu(`${name}.mlp`, layers.rmsNorm(`${name}.norm2`, x, normEpsilon), keys));
    }
    return layers.rmsNorm("decoder.norm", x, normEpsilon);
  }
}

/** (time, row, column) of each of `count` tokens that begin with a prompt's. */
export function multimodalPositions(
  { imageTokenId, projector }: Pick<ModelSpec, "imageTokenId" | "projector">,
  { tokens, images }: { tokens: Int32Array; images: readonly Pick<ImageInput, "grid">[] },
  count: number,
): (readonly [number, number, number])[] {
  const positions: (readonly [number, number, number])[] = [];
  const waiting = [...images];
  let free = 0;
  while (positions.length < count) {
    const first = free;
    if (positions.length >= tokens.length || tokens[positions.length] !== imageTokenId) {
      positions.push([first, first, first]);
      free = first + 1;
      continue;
    }
    const [rows, columns] = (["rows", "columns"] as const).map(
      (side) => waiting[0]!.grid![side] / projector!.mergeSize,
    ) as [number, number];
    waiting.shift();
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++) positions.push([first, first + row, first + column]);
    free = 1 + Math.max(...positions.flat());
  }
  return positions;
}
