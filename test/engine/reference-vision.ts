import type {
  FixedResolutionSpec,
  ModelSpec,
  NativeResolutionSpec,
  ProjectorSpec,
} from "../../src/native/model-spec.js";
import type { ImageInput, RandomKey } from "../../src/native/types.js";
import {
  activations,
  attention,
  joined,
  map,
  product,
  type ReferenceLayers,
  type RowKey,
  type Rows,
  rotated,
  sum,
} from "./reference-layers.js";

/** A patch's place in its image, in patches. */
interface Place {
  row: number;
  column: number;
}

/**
 * The features of a prompt's images that its image tokens stand for, in their order.
 *
 * @param key of the masks of adapters
 */
export function imageFeatures(
  { vision, projector }: ModelSpec,
  layers: ReferenceLayers,
  images: readonly ImageInput[],
  key: RandomKey,
): Rows {
  if (vision === null || projector === null) return [];
  let [encoderRows, featureRows] = [0, 0];
  return images.flatMap((image) => {
    const encoderKeys = (count: number) =>
      Array.from({ length: count }, () => ({ key, position: encoderRows++ }));
    const patches =
      vision.kind === "fixed_resolution"
        ? viewsOf(vision, image).flatMap((view) =>
            grouped(
              encodeView(vision, layers, view, encoderKeys),
              gridOf(vision.imageSize / vision.patchSize, vision.imageSize / vision.patchSize),
              projector.mergeSize,
            ),
          )
        : encodeFrame(vision, layers, image, projector.mergeSize, encoderKeys);
    const features = project(projector, layers, patches, (count) =>
      Array.from({ length: count }, () => ({ key, position: featureRows++ })),
    );
    if (image.tokens === undefined) return features;
    return Array.from(image.tokens, (token) =>
      token < 0 ? Float64Array.from(layers.weight("projector.newline")) : features[token]!,
    );
  });
}

/** Places row by row. */
const gridOf = (rows: number, columns: number): Place[] =>
  Array.from({ length: rows * columns }, (_, i) => ({ row: Math.floor(i / columns), column: i % columns }));

/** What belongs to `places` in the order of merged squares, and within each row by row. */
function grouped<T>(items: readonly T[], places: readonly Place[], merge: number): T[] {
  const square = ({ row, column }: Place) => [Math.floor(row / merge), Math.floor(column / merge)] as const;
  return [...items.keys()]
    .sort((a, b) => {
      const [rowA, columnA] = square(places[a]!);
      const [rowB, columnB] = square(places[b]!);
      return rowA - rowB || columnA - columnB || a - b;
    })
    .map((i) => items[i]!);
}

function viewsOf({ channels, imageSize }: FixedResolutionSpec, { pixels }: ImageInput): Float32Array[] {
  const size = channels * imageSize ** 2;
  return Array.from({ length: pixels.length / size }, (_, i) => pixels.subarray(i * size, (i + 1) * size));
}

/** Features of the patches of a view, row by row. */
function encodeView(
  spec: FixedResolutionSpec,
  layers: ReferenceLayers,
  pixels: Float32Array,
  keysOf: (count: number) => RowKey[],
): Rows {
  const { imageSize, patchSize, channels, width, heads, normEpsilon } = spec;
  const side = imageSize / patchSize;
  const weight = layers.weight("vision.patch_embed.weight");
  const patches: Rows = gridOf(side, side).map(({ row, column }) => {
    const values = Float64Array.from({ length: channels * patchSize ** 2 }, (_, i) => {
      const c = Math.floor(i / patchSize ** 2);
      const [dy, dx] = [Math.floor(i / patchSize) % patchSize, i % patchSize];
      return pixels[(c * imageSize + row * patchSize + dy) * imageSize + column * patchSize + dx]!;
    });
    const y = product(values, weight, width);
    if (!spec.patchBias) return y;
    const bias = layers.weight("vision.patch_embed.bias");
    return y.map((v, i) => v + bias[i]!);
  });
  if (spec.classToken) patches.unshift(Float64Array.from(layers.weight("vision.class_token")));
  const position = layers.weight("vision.position");
  let x: Rows = patches.map((row, n) => row.map((v, i) => v + position[n * width + i]!));
  const keys = keysOf(x.length);
  if (spec.inputNorm) x = layers.layerNorm("vision.input_norm", x, normEpsilon);
  for (let i = 0; i < spec.layers; i++) {
    const name = `vision.layers.${i}`;
    const h = layers.layerNorm(`${name}.norm1`, x, normEpsilon);
    const [q, k, v] = ["q", "k", "v"].map((part) => layers.linear(`${name}.attention.${part}`, h, keys));
    x = sum(
      x,
      layers.linear(
        `${name}.attention.out`,
        attention(q!, k!, v!, heads, heads, () => true),
        keys,
      ),
    );
    const up = layers.linear(`${name}.mlp.up`, layers.layerNorm(`${name}.norm2`, x, normEpsilon), keys);
    x = sum(x, layers.linear(`${name}.mlp.down`, map(up, activations[spec.activation]), keys));
  }
  if (spec.outputNorm) x = layers.layerNorm("vision.norm", x, normEpsilon);
  return spec.classToken ? x.slice(1) : x;
}

/** Which window a patch is in: equal for patches of one. */
export const windowOf = ({ windowSize, patchSize }: NativeResolutionSpec, { row, column }: Place): string =>
  [row, column].map((index) => Math.floor((index * patchSize) / windowSize)).join(" ");

/** Features of the patches of a frame, in the order in which it holds them. */
function encodeFrame(
  spec: NativeResolutionSpec,
  layers: ReferenceLayers,
  { pixels, grid }: ImageInput,
  merge: number,
  keysOf: (count: number) => RowKey[],
): Rows {
  const { heads, width, normEpsilon } = spec;
  const inRows = gridOf(grid!.rows, grid!.columns);
  const places = grouped(inRows, inRows, merge);
  const size = spec.channels * spec.temporalPatchSize * spec.patchSize ** 2;
  const patchWeight = layers.weight("vision.patch_embed.weight");
  let x: Rows = places.map((_, n) =>
    product(Float64Array.from(pixels.subarray(n * size, (n + 1) * size)), patchWeight, width),
  );
  const keys = keysOf(x.length);
  const quarter = width / heads / 4;
  const frequencies = Array.from({ length: quarter }, (_, j) => 10_000 ** (-j / quarter));
  const angles = places.map(({ row, column }) => [
    ...frequencies.map((f) => row * f),
    ...frequencies.map((f) => column * f),
  ]);
  const windows = places.map((place) => windowOf(spec, place));
  for (let i = 0; i < spec.layers; i++) {
    const name = `vision.layers.${i}`;
    const h = layers.rmsNorm(`${name}.norm1`, x, normEpsilon);
    const qkv = layers.linear(`${name}.attention.qkv`, h, keys);
    const [q, k, v] = [0, 1, 2].map((part) => qkv.map((row) => row.slice(part * width, (part + 1) * width)));
    const turn = (rows: Rows) => rows.map((row, n) => rotated(row, angles[n]!));
    const isFull = spec.fullAttentionLayers.includes(i);
    const attended = attention(
      turn(q!),
      turn(k!),
      v!,
      heads,
      heads,
      (n, m) => isFull || windows[n] === windows[m],
    );
    x = sum(x, layers.linear(`${name}.attention.out`, attended, keys));
    x = sum(x, layers.swiglu(`${name}.mlp`, layers.rmsNorm(`${name}.norm2`, x, normEpsilon), keys));
  }
  return x;
}

/** @param patches those of a token following each other */
function project(
  spec: ProjectorSpec,
  layers: ReferenceLayers,
  patches: Rows,
  keysOf: (count: number) => RowKey[],
): Rows {
  let x = patches;
  if (spec.normEpsilon !== null) x = layers.rmsNorm("projector.norm", x, spec.normEpsilon);
  x = joined(x, spec.mergeSize ** 2);
  const keys = keysOf(x.length);
  if (spec.hiddenWidth !== null)
    x = map(layers.linear("projector.up", x, keys), activations[spec.activation]);
  return layers.linear("projector.down", x, keys);
}
