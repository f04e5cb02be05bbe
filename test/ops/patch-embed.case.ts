import { type Conformance, conformance, derivativeOf, type Rounding, rowsOf } from "./conformance.js";
import { type Floats, normals, unwritten } from "./inputs.js";

type Sizes = { images: number; channels: number; size: number; patch_size: number; columns: number };
type Inputs = Sizes & { pixels: Floats; weight: Floats; bias: Floats; position: Floats };
type Forward = Inputs & { y: Floats };
type Backward = Sizes & { dy: Floats; pixels: Floats; dweight: Floats; dbias: Floats; dposition: Floats };

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
  const { pixels, weight, bias, position, images, columns } = args;
  const elements = args.channels * args.patch_size ** 2;
  const y = new Float64Array(images * patches(args) * columns);
  for (let row = 0; row < images * patches(args); row++) {
    const patch = row % patches(args);
    const sums = y.subarray(row * columns, (row + 1) * columns);
    for (const [element, pixel] of pixelsOf(args, Math.floor(row / patches(args)), patch))
      for (let c = 0; c < columns; c++)
        sums[c] = round(sums[c]! + round(weight[c * elements + element]! * pixels[pixel]!));
    for (let c = 0; c < columns; c++)
      sums[c] = round(round(sums[c]! + bias[c]!) + position[patch * columns + c]!);
  }
  return { y };
}

function embedBackward(args: Backward, round: Rounding) {
  const { dy, pixels, images, columns } = args;
  const elements = args.channels * args.patch_size ** 2;
  const dweight = Float64Array.from(args.dweight);
  const dbias = Float64Array.from(args.dbias);
  const dposition = Float64Array.from(args.dposition);
  for (let row = 0; row < images * patches(args); row++) {
    const patch = row % patches(args);
    for (const [element, pixel] of pixelsOf(args, Math.floor(row / patches(args)), patch))
      for (let c = 0; c < columns; c++) {
        const at = c * elements + element;
        dweight[at] = round(dweight[at]! + round(dy[row * columns + c]! * pixels[pixel]!));
      }
    for (let c = 0; c < columns; c++) {
      const gradient = dy[row * columns + c]!;
      dbias[c] = round(dbias[c]! + gradient);
      dposition[patch * columns + c] = round(dposition[patch * columns + c]! + gradient);
    }
  }
  return { dweight, dbias, dposition };
}

const shapes: Sizes[] = [
  { images: 1, channels: 1, size: 4, patch_size: 4, columns: 1 },
  { images: 3, channels: 3, size: 12, patch_size: 4, columns: 17 },
  { images: 2, channels: 3, size: 28, patch_size: 14, columns: 33 },
  { images: 5, channels: 1, size: 96, patch_size: 8, columns: 3 },
  // More pixels than are written out as patches at a time.
  { images: 3, channels: 1, size: 736, patch_size: 16, columns: 2 },
];

export const patchEmbedCases: Conformance[] = shapes.flatMap((sizes) => {
  const { images, channels, size, patch_size, columns } = sizes;
  const pixelCount = channels * size * size;
  const elements = channels * patch_size ** 2;
  const title = JSON.stringify(sizes);
  return [
    conformance<Forward>({
      op: "patch_embed",
      title,
      args: (random) => ({
        pixels: normals(random, images * pixelCount),
        weight: normals(random, columns * elements),
        bias: normals(random, columns),
        position: normals(random, patches(sizes) * columns),
        y: unwritten(images * patches(sizes) * columns),
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
          regions: rowsOf(image, 1, { y: patches(sizes) * columns }),
        })),
    }),
    conformance<Backward>({
      op: "patch_embed_backward",
      title,
      args: (random) => ({
        dy: normals(random, images * patches(sizes) * columns),
        pixels: normals(random, images * pixelCount),
        dweight: normals(random, columns * elements),
        dbias: normals(random, columns),
        dposition: normals(random, patches(sizes) * columns),
        ...sizes,
      }),
      bind: (args) => ({ ...args, precision: "fp32" }),
      reference: embedBackward,
      outputs: { dweight: "gradient", dbias: "gradient", dposition: "gradient" },
      // Differences take a hundred forward passes, so they are left out where one is slow.
      ...(images * pixelCount < 10_000 && {
        derivative: derivativeOf<Backward, Inputs>({
          inputs: ({ pixels }) => ({
            pixels,
            weight: new Float64Array(columns * elements),
            bias: new Float64Array(columns),
            position: new Float64Array(patches(sizes) * columns),
            ...sizes,
          }),
          forward: embed,
          cotangents: { y: "dy" },
          gradients: { dweight: "weight", dbias: "bias", dposition: "position" },
        }),
      }),
    }),
  ];
});
