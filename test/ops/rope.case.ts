import { type Conformance, conformance, derivativeOf, type Rounding, rowsOf } from "./conformance.js";
import { type Floats, integers, normals } from "./inputs.js";

type Args = {
  x: Floats;
  positions: Int32Array;
  rows: number;
  row_stride: number;
  heads: number;
  head_size: number;
  theta: number;
  inverse: boolean;
};

function rotate({ x, positions, rows, row_stride, heads, head_size, theta, inverse }: Args, round: Rounding) {
  const rotated = Float64Array.from(x);
  const half = head_size / 2;
  for (let n = 0; n < rows; n++)
    for (let k = 0; k < half; k++) {
      // Angles are computed in double by contract; only their cosines and sines are rounded.
      const angle = (inverse ? -1 : 1) * positions[n]! * theta ** ((-2 * k) / head_size);
      const [cosine, sine] = [round(Math.cos(angle)), round(Math.sin(angle))];
      for (let head = 0; head < heads; head++) {
        const at = n * row_stride + head * head_size + k;
        const [a, b] = [x[at]!, x[at + half]!];
        rotated[at] = round(round(a * cosine) - round(b * sine));
        rotated[at + half] = round(round(b * cosine) + round(a * sine));
      }
    }
  return { x: rotated };
}

interface Shape {
  rows: number;
  heads: number;
  headSize: number;
  /** Trailing columns of a row that are not rotated. */
  rest: number;
  longest: number;
  inverse?: boolean;
}

const shapes: Shape[] = [
  { rows: 1, heads: 1, headSize: 2, rest: 0, longest: 1 },
  { rows: 5, heads: 3, headSize: 12, rest: 7, longest: 10 },
  { rows: 9, heads: 2, headSize: 72, rest: 72, longest: 1500 },
  { rows: 260, heads: 4, headSize: 32, rest: 64, longest: 2000 },
  { rows: 260, heads: 4, headSize: 32, rest: 64, longest: 2000, inverse: true },
  { rows: 3, heads: 2, headSize: 10, rest: 1, longest: 40, inverse: true },
];

export const ropeCases: Conformance[] = shapes.map((shape) => {
  const { rows, heads, headSize, rest, longest, inverse = false } = shape;
  const row_stride = heads * headSize + rest;
  return conformance<Args>({
    op: "rope",
    title: JSON.stringify(shape),
    args: (random) => ({
      x: normals(random, rows * row_stride),
      positions: integers(random, rows, longest),
      rows,
      row_stride,
      heads,
      head_size: headSize,
      theta: 10_000,
      inverse,
    }),
    reference: rotate,
    outputs: { x: inverse ? "gradient" : "forward" },
    stored: ["x"],
    equivalents: (args) =>
      [0, rows - 1].map((row) => ({
        title: `row ${row} alone`,
        args: {
          ...args,
          x: args.x.slice(row * row_stride, (row + 1) * row_stride),
          positions: args.positions.slice(row, row + 1),
          rows: 1,
        },
        regions: rowsOf(row, 1, { x: row_stride }),
      })),
    // The rotation is linear, so that its derivative may be taken anywhere.
    ...(inverse && {
      derivative: derivativeOf<Args, Args>({
        inputs: (args) => ({ ...args, x: new Float64Array(args.x.length), inverse: false }),
        forward: rotate,
        cotangents: { x: "x" },
        gradients: { x: "x" },
      }),
    }),
  });
});
