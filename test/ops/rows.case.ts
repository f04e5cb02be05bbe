import { type Conformance, conformance, rowsOf } from "./conformance.js";
import { type Floats, integers, normals, unwritten } from "./inputs.js";

type Gather = { x: Floats; indices: Int32Array; y: Floats; count: number; columns: number };
type Scatter = Gather & { scale: number };
type SumRows = { x: Floats; sums: Floats; rows: number; columns: number };
type Add = { x: Floats; y: Floats; count: number };

const targetRows = 13;

const shapes: [number, number][] = [
  [1, 1],
  [20, 37],
  [80, 600],
];

export const rowCases: Conformance[] = shapes.flatMap(([count, columns]) => [
  conformance<Gather>({
    op: "gather_rows",
    title: `${count} rows of ${columns}`,
    args: (random) => ({
      x: normals(random, targetRows * columns),
      indices: integers(random, count, targetRows),
      y: unwritten(count * columns),
      count,
      columns,
    }),
    reference: ({ x, indices }) => ({
      y: Float64Array.from({ length: count * columns }, (_, i) => {
        return x[indices[Math.floor(i / columns)]! * columns + (i % columns)]!;
      }),
    }),
    outputs: { y: "exact" },
    stored: ["x", "y"],
    equivalents: (args) => [
      {
        title: "the last row alone",
        args: { ...args, indices: args.indices.slice(-1), count: 1 },
        regions: rowsOf(count - 1, 1, { y: columns }),
      },
    ],
  }),
  conformance<Scatter>({
    op: "scatter_add_rows",
    title: `${count} rows of ${columns}`,
    args: (random) => ({
      x: normals(random, count * columns),
      indices: integers(random, count, targetRows),
      y: normals(random, targetRows * columns),
      count,
      columns,
      scale: Math.fround(-0.3),
    }),
    reference: ({ x, indices, y, scale }, round, store) => {
      const sums = Float64Array.from(y);
      for (let i = 0; i < count; i++)
        for (let c = 0; c < columns; c++) {
          const at = indices[i]! * columns + c;
          sums[at] = store(sums[at]! + round(scale * x[i * columns + c]!));
        }
      return { y: sums };
    },
    outputs: { y: "forward" },
    stored: ["x", "y"],
  }),
  conformance<SumRows>({
    op: "sum_rows",
    title: `${count} rows of ${columns}`,
    args: (random) => ({
      x: normals(random, count * columns),
      sums: normals(random, columns),
      rows: count,
      columns,
    }),
    reference: ({ x, sums }, round) => {
      const total = Float64Array.from(sums);
      for (let i = 0; i < x.length; i++) total[i % columns] = round(total[i % columns]! + x[i]!);
      return { sums: total };
    },
    outputs: { sums: "forward" },
    stored: ["x"],
  }),
  conformance<Add>({
    op: "add",
    title: `${count * columns} elements`,
    args: (random) => ({
      x: normals(random, count * columns),
      y: normals(random, count * columns),
      count: count * columns,
    }),
    reference: ({ x, y }) => ({ y: Float32Array.from(y, (value, i) => value + x[i]!) }),
    outputs: { y: "exact" },
    stored: ["x", "y"],
  }),
]);
