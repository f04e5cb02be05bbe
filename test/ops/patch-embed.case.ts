import { type Conformance, conformance, derivativeOf, type Rounding, rowsOf } from "./conformance.js";
import { type Floats, normals, unwritten } from "./inputs.js";

type Sizes = { images: number; channels: number; size: number; patch_size: number; columns: number };
type Inputs = Sizes & {
  pixels: Floats;
  weight: Floats;
  bias: Floats | null;
  class_token: Floats | null;
  position: Floats;
};
type Forward = Inputs & { y: Floats };
type Backward = Sizes & {
  dy: Floats;
  pixels: Floats;
  dweight: Floats;
  dbias: Floats | null;
  dclass_token: Floats | null;
  dposition: Floats;
};
/** What a projection of patches may have besides. */
type Extras = { hasBias: boolean; hasClassToken: boolean };

function patches({ size, patch_size }: Sizes): number {
  return (size / patch_size) ** 2;
}

/** The pixel at (channel, y, x) of patch p of an image, with its place in the patch, for every pixel of the patch. */
function* pixelsOf(
  { channels, size, patch_size }: Sizes,
  image: number,
  patch: number,
): Generator<[number, number]> {
  const perSide = size / patch_size;
  const top = Math.floor(patch / perSide) * patch_size;
  const left = (patch % perSide) * patch_size;
  let element = 0;
  for (let channel = 0; channel < channels; channel++)
    for (let y = 0; y < patch_size; y++)
      for (let x = 0; x < patch_size; x++)
        yield [element++, ((image * channels + channel) * size + top + y) * size + left + x];
}

function embed(args: Inputs, round: Rounding) {
  const { pixels, weight, bias, class_token, position, images, columns } = args;
  const elements = args.channels * args.patch_size ** 2;
  const first = class_token ? 1 : 0;
  const perImage = first + patches(args);
  const y = new Float64Array(images * perImage * columns);
  for (let row = 0; row < images * perImage; row++) {
    const patch = (row % perImage) - first;
    const sums = y.subarray(row * columns, (row + 1) * columns);
    if (patch < 0) sums.set(class_token!);
    else
      for (const [element, pixel] of pixelsOf(args, Math.floor(row / perImage), patch))
        for (let c = 0; c < columns; c++)
          sums[c] = round(sums[c]! + round(weight[c * elements + element]! * pixels[pixel]!));
    for (let c = 0; c < columns; c++) {
      const biased = bias && patch >= 0 ? round(sums[c]! + bias[c]!) : sums[c]!;
      sums[c] = round(biased + position[(first + patch) * columns + c]!);
    }
  }
  return { y };
}

function embedBackward(args: Backward, round: Rounding) {
  const { dy, pixels, images, columns } = args;
  const elements = args.channels * args.patch_size ** 2;
  const first = args.dclass_token ? 1 : 0;
  const perImage = first + patches(args);
  const dweight = Float64Array.from(args.dweight);
  const dposition = Float64Array.from(args.dposition);
  const dbias = args.dbias && Float64Array.from(args.dbias);
  const dclass_token = args.dclass_token && Float64Array.from(args.dclass_token);
  for (let row = 0; row < images * perImage; row++) {
    const patch = (row % perImage) - first;
    if (patch >= 0)
      for (const [element, pixel] of pixelsOf(args, Math.floor(row / perImage), patch))
        for (let c = 0; c < columns; c++) {
          const at = c * elements + element;
          dweight[at] = round(dweight[at]! + round(dy[row * columns + c]! * pixels[pixel]!));
        }
    const sums = patch >= 0 ? dbias : dclass_token;
    for (let c = 0; c < columns; c++) {
      const gradient = dy[row * columns + c]!;
      if (sums) sums[c] = round(sums[c]! + gradient);
      const at = (first + patch) * columns + c;
      dposition[at] = round(dposition[at]! + gradient);
    }
  }
  return { dweight, dposition, ...(dbias && { dbias }), ...(dclass_token && { dclass_token }) };
}

const plain: Extras = { hasBias: true, hasClassToken: false };
const shapes: (Sizes & Partial<Extras>)[] = [
  { images: 1, channels: 1, size: 4, patch_size: 4, columns: 1 },
  { images: 3, channels: 3, size: 12, patch_size: 4, columns: 17 },
  { images: 2, channels: 3, size: 28, patch_size: 14, columns: 33 },
  { images: 5, channels: 1, size: 96, patch_size: 8, columns: 3 },
  { images: 3, channels: 3, size: 12, patch_size: 4, columns: 17, hasBias: false, hasClassToken: true },
  { images: 2, channels: 1, size: 28, patch_size: 14, columns: 32, hasClassToken: true },
  { images: 2, channels: 1, size: 12, patch_size: 4, columns: 5, hasBias: false },
  // More pixels than are written out as patches at a time.
  { images: 3, channels: 1, size: 736, patch_size: 16, columns: 2 },
];

export const patchEmbedCases: Conformance[] = shapes.flatMap((shape) => {
  const { hasBias, hasClassToken, ...sizes } = { ...plain, ...shape };
  const { images, channels, size, patch_size, columns } = sizes;
  const pixelCount = channels * size * size;
  const elements = channels * patch_size ** 2;
  const rows = patches(sizes) + (hasClassToken ? 1 : 0);
  const title = JSON.stringify(shape);
  return [
    conformance<Forward>({
      op: "patch_embed",
      title,
      args: (random) => ({
        pixels: normals(random, images * pixelCount),
        weight: normals(random, columns * elements),
        bias: hasBias ? normals(random, columns) : null,
        class_token: hasClassToken ? normals(random, columns) : null,
        position: normals(random, rows * columns),
        y: unwritten(images * rows * columns),
        ...sizes,
      }),
      bind: (args) => ({ ...args, precision: "fp32" }),
      reference: embed,
      outputs: { y: "forward" },
      stored: ["weight"],
      multiplies: true,
      equivalents: (args) =>
        [0, images - 1].map((image) => ({
          title: `image ${image} alone`,
          args: {
            ...args,
            pixels: args.pixels.slice(image * pixelCount, (image + 1) * pixelCount),
            images: 1,
          },
          regions: rowsOf(image, 1, { y: rows * columns }),
        })),
    }),
    conformance<Backward>({
      op: "patch_embed_backward",
      title,
      args: (random) => ({
        dy: normals(random, images * rows * columns),
        pixels: normals(random, images * pixelCount),
        dweight: normals(random, columns * elements),
        dbias: hasBias ? normals(random, columns) : null,
        dclass_token: hasClassToken ? normals(random, columns) : null,
        dposition: normals(random, rows * columns),
        ...sizes,
      }),
      bind: (args) => ({ ...args, precision: "fp32" }),
      reference: embedBackward,
      outputs: {
        ...{ dweight: "gradient", dposition: "gradient" },
        ...(hasBias && { dbias: "gradient" }),
        ...(hasClassToken && { dclass_token: "gradient" }),
      },
      // Differences take a hundred forward passes, so they are left out where one is slow.
      ...(images * pixelCount < 10_000 && {
        derivative: derivativeOf<Backward, Inputs>({
          inputs: ({ pixels }) => ({
            pixels,
            weight: new Float64Array(columns * elements),
            bias: hasBias ? new Float64Array(columns) : null,
            class_token: hasClassToken ? new Float64Array(columns) : null,
            position: new Float64Array(rows * columns),
            ...sizes,
          }),
          forward: embed,
          cotangents: { y: "dy" },
          gradients: {
            ...{ dweight: "weight", dposition: "position" },
            ...(hasBias && { dbias: "bias" }),
            ...(hasClassToken && { dclass_token: "class_token" }),
          },
        }),
      }),
    }),
  ];
});
