import { philox } from "../../src/random.js";
import { type Conformance, conformance, derivativeOf, type Rounding, rowsOf } from "./conformance.js";
import { type Floats, integers, normals, unwritten } from "./inputs.js";

type Inputs = {
  x: Floats;
  keys: Uint32Array;
  positions: Int32Array;
  rows: number;
  columns: number;
  module: number;
  rate: number;
};
type Args = Inputs & { y: Floats; accumulate: boolean };

/** Whether dropout keeps an element, by the formula of native/ops/dropout.h. */
export function isKept(
  key: readonly [number, number],
  position: number,
  module: number,
  column: number,
  rate: number,
): boolean {
  const counter = 16 * Math.floor(column / 64) + (column % 16);
  const words = philox([counter, module, position, 2], key);
  return words[Math.floor((column % 64) / 16)]! >= Math.floor(Math.fround(rate) * 2 ** 32);
}

/** The factor on what is kept. */
export const keptScale = (rate: number) => Math.fround(1 / (1 - Math.fround(rate)));

function dropped({ x, keys, positions, columns, module, rate }: Inputs, round: Rounding): Float64Array {
  return Float64Array.from(x, (value, i) => {
    const row = Math.floor(i / columns);
    const key = [keys[2 * row]!, keys[2 * row + 1]!] as const;
    return isKept(key, positions[row]!, module, i % columns, rate) ? round(value * keptScale(rate)) : 0;
  });
}

function dropout({ accumulate, y, ...inputs }: Args, round: Rounding) {
  const kept = dropped(inputs, round);
  return { y: accumulate ? kept.map((value, i) => round(y[i]! + value)) : kept };
}

interface Shape {
  rows: number;
  columns: number;
  rate: number;
  accumulate?: boolean;
  module?: number;
}

const shapes: Shape[] = [
  { rows: 1, columns: 1, rate: 0.5 },
  { rows: 3, columns: 64, rate: 0 },
  // Factors that are powers of two, so that what is kept is exact.
  { rows: 5, columns: 37, rate: 0.5, module: 4_294_967_295 },
  { rows: 7, columns: 200, rate: 0.75 },
  { rows: 9, columns: 1100, rate: 0.05, module: 3 },
  { rows: 130, columns: 301, rate: 0.05, accumulate: true },
  { rows: 2, columns: 4099, rate: 0.99 },
];

export const dropoutCases: Conformance[] = shapes.flatMap((shape) => {
  const { rows, columns, rate, accumulate = false, module = 0 } = shape;
  const isExact = Number.isInteger(Math.log2(keptScale(rate))) && !accumulate;
  return conformance<Args>({
    op: "dropout",
    title: JSON.stringify(shape),
    args: (random) => ({
      x: normals(random, rows * columns),
      y: accumulate ? normals(random, rows * columns) : unwritten(rows * columns),
      keys: Uint32Array.from({ length: 2 * rows }, () => random.uint32()),
      positions: integers(random, rows, 5000),
      rows,
      columns,
      module,
      rate,
      accumulate,
    }),
    reference: dropout,
    outputs: { y: isExact ? "exact" : "forward" },
    stored: ["x", "y"],
    equivalents: (args) => [
      ...(accumulate ? [] : [{ title: "in place", args: { ...args, y: args.x } }]),
      ...[0, rows - 1].map((row) => ({
        title: `row ${row} alone`,
        args: {
          ...args,
          x: args.x.slice(row * columns, (row + 1) * columns),
          y: args.y.slice(row * columns, (row + 1) * columns),
          keys: args.keys.slice(2 * row, 2 * row + 2),
          positions: args.positions.slice(row, row + 1),
          rows: 1,
        },
        regions: rowsOf(row, 1, { y: columns }),
      })),
    ],
    // It takes a gradient back, too.
    ...(accumulate && {
      derivative: derivativeOf<Args, Inputs>({
        inputs: ({ x, keys, positions }) => ({ x, keys, positions, rows, columns, module, rate }),
        forward: (inputs, round) => ({ output: dropped(inputs, round) }),
        cotangents: { output: "x" },
        gradients: { y: "x" },
      }),
    }),
  });
});
