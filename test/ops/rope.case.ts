import { type Conformance, conformance, derivativeOf, type Rounding, rowsOf } from "./conformance.js";
import { type Floats, integers, normals } from "./inputs.js";

type Args = {
  x: Floats;
  positions: Int32Array;
  rows: number;
  row_stride: number;
  heads: number;
  head_size: number;
  axes: number;
  section_0: number;
  section_1: number;
  theta: number;
  restarts: boolean;
  inverse: boolean;
};

function rotate(args: Args, round: Rounding) {
  const {
    x,
    positions,
    rows,
    row_stride,
    heads,
    head_size,
    axes,
    section_0,
    section_1,
    theta,
    restarts,
    inverse,
  } = args;
  const rotated = Float64Array.from(x);
  const half = head_size / 2;
  // The last axis takes the frequencies that are left.
  const first = [section_0, section_1].slice(0, axes - 1);
  const sections = [...first, half - first.reduce((sum, size) => sum + size, 0)];
  const axisOf = sections.flatMap((size, axis) => new Array<number>(size).fill(axis));
  for (let n = 0; n < rows; n++)
    for (let k = 0; k < half; k++) {
      // Angles are computed in double by contract; only their cosines and sines are rounded.
      const frequency = restarts ? theta ** (-(k % section_0) / section_0) : theta ** ((-2 * k) / head_size);
      const angle = (inverse ? -1 : 1) * positions[n * axes + axisOf[k]!]! * frequency;
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
  /** Frequencies by axis; default: all follow one. */
  sections?: number[];
  restarts?: boolean;
}

const shapes: Shape[] = [
  { rows: 1, heads: 1, headSize: 2, rest: 0, longest: 1 },
  { rows: 5, heads: 3, headSize: 12, rest: 7, longest: 10 },
  { rows: 9, heads: 2, headSize: 72, rest: 72, longest: 1500 },
  { rows: 260, heads: 4, headSize: 32, rest: 64, longest: 2000 },
  { rows: 260, heads: 4, headSize: 32, rest: 64, longest: 2000, inverse: true },
  { rows: 3, heads: 2, headSize: 10, rest: 1, longest: 40, inverse: true },
  { rows: 7, heads: 3, headSize: 128, rest: 128, longest: 700, sections: [16, 24, 24] },
  { rows: 5, heads: 2, headSize: 20, rest: 0, longest: 60, sections: [2, 3, 5], inverse: true },
  { rows: 6, heads: 2, headSize: 80, rest: 80, longest: 90, sections: [20, 20], restarts: true },
  { rows: 4, heads: 1, headSize: 12, rest: 4, longest: 9, sections: [3, 3], restarts: true, inverse: true },
];

export const ropeCases: Conformance[] = shapes.map((shape) => {
  const { rows, heads, headSize, rest, longest, inverse = false, restarts = false } = shape;
  const sections = shape.sections ?? [headSize / 2];
  const axes = sections.length;
  const row_stride = heads * headSize + rest;
  return conformance<Args>({
    op: "rope",
    title: JSON.stringify(shape),
    args: (random) => ({
      x: normals(random, rows * row_stride),
      positions: integers(random, rows * axes, longest),
      rows,
      row_stride,
      heads,
      head_size: headSize,
      axes,
      section_0: axes > 1 ? sections[0]! : 0,
      section_1: axes > 2 ? sections[1]! : 0,
      theta: 10_000,
      restarts,
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
          positions: args.positions.slice(row * axes, (row + 1) * axes),
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
