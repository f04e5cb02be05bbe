import type { Random } from "../../src/random.js";
import { type Conformance, conformance, derivativeOf, type Rounding, rowsOf } from "./conformance.js";
import { type Floats, integers, normals, unwritten } from "./inputs.js";

type Inputs = {
  table: Floats;
  features: Floats | null;
  ids: Int32Array;
  rows: number;
  columns: number;
  scale: number;
};
type Forward = Inputs & { y: Floats };

type Backward = {
  dy: Floats;
  ids: Int32Array;
  dtable: Floats | null;
  dfeatures: Floats | null;
  rows: number;
  columns: number;
  scale: number;
};

const vocabulary = 11;
const featureRows = 6;

function embed({ table, features, ids, rows, columns, scale }: Inputs, round: Rounding) {
  const y = new Float64Array(rows * columns);
  for (let n = 0; n < rows; n++)
    for (let c = 0; c < columns; c++) {
      const id = ids[n]!;
      y[n * columns + c] =
        id >= 0 ? round(scale * table[id * columns + c]!) : features![(-1 - id) * columns + c]!;
    }
  return { y };
}

function embedBackward(args: Backward, round: Rounding, store: Rounding) {
  const { dy, ids, rows, columns, scale } = args;
  const dtable = Float64Array.from(args.dtable ?? []);
  const dfeatures = Float64Array.from(args.dfeatures ?? []);
  for (let n = 0; n < rows; n++)
    for (let c = 0; c < columns; c++) {
      const id = ids[n]!;
      const gradient = dy[n * columns + c]!;
      if (id >= 0) {
        const at = id * columns + c;
        if (args.dtable) dtable[at] = round(dtable[at]! + round(scale * gradient));
      } else {
        const at = (-1 - id) * columns + c;
        if (args.dfeatures) dfeatures[at] = store(dfeatures[at]! + gradient);
      }
    }
  return { dtable, dfeatures };
}

/** Tokens and image rows in a mix in which most ids occur several times. */
function mixedIds(random: Random, rows: number): Int32Array {
  return integers(random, rows, vocabulary + featureRows).map((id) => id - featureRows);
}

function backwardArgs(random: Random, rows: number, columns: number): Backward {
  return {
    dy: normals(random, rows * columns),
    ids: mixedIds(random, rows),
    dtable: normals(random, vocabulary * columns),
    dfeatures: normals(random, featureRows * columns),
    rows,
    columns,
    scale: Math.fround(1.7),
  };
}

/** Image rows in no order of theirs, with the last of them, as a line's end would be, after every fifth row. */
function linesOfFeatures(random: Random): Int32Array {
  const id = (row: number) => (row % 6 === 5 ? featureRows - 1 : random.integer(featureRows - 1));
  return Int32Array.from({ length: 240 }, (_, row) => (row % 40 < 3 ? row % vocabulary : -1 - id(row)));
}

const shapes: [number, number][] = [
  [1, 1],
  [40, 33],
  [90, 500],
];

export const embedCases: Conformance[] = [
  ...shapes.map(([rows, columns]) =>
    conformance<Forward>({
      op: "embed",
      title: `${rows} rows of ${columns}`,
      args: (random) => ({
        table: normals(random, vocabulary * columns),
        features: normals(random, featureRows * columns),
        ids: mixedIds(random, rows),
        y: unwritten(rows * columns),
        rows,
        columns,
        scale: Math.fround(1.7),
      }),
      reference: embed,
      outputs: { y: "forward" },
      stored: ["table", "features"],
      equivalents: (args) => [
        {
          title: "the last row alone",
          args: { ...args, ids: args.ids.slice(-1), rows: 1 },
          regions: rowsOf(rows - 1, 1, { y: columns }),
        },
      ],
    }),
  ),
  conformance<Forward>({
    op: "embed",
    title: "text alone",
    args: (random) => ({
      table: normals(random, vocabulary * 5),
      features: null,
      ids: integers(random, 4, vocabulary),
      y: unwritten(20),
      rows: 4,
      columns: 5,
      scale: 1,
    }),
    reference: embed,
    outputs: { y: "exact" },
    stored: ["table"],
  }),
  conformance<Forward>({
    op: "embed",
    title: "features stored in another way than the table",
    args: (random) => ({
      table: normals(random, vocabulary * 20),
      features: normals(random, featureRows * 20),
      ids: mixedIds(random, 30),
      y: unwritten(600),
      rows: 30,
      columns: 20,
      scale: Math.fround(1.7),
    }),
    reference: embed,
    outputs: { y: "forward" },
    stored: ["features"],
  }),
  conformance<Forward>({
    op: "embed",
    title: "one feature row at the end of every line",
    args: (random) => ({
      table: normals(random, vocabulary * 12),
      features: normals(random, featureRows * 12),
      ids: linesOfFeatures(random),
      y: unwritten(240 * 12),
      rows: 240,
      columns: 12,
      scale: 1,
    }),
    reference: embed,
    outputs: { y: "exact" },
    stored: ["table", "features"],
  }),
  conformance<Backward>({
    op: "embed_backward",
    title: "one feature row at the end of every line",
    args: (random) => ({ ...backwardArgs(random, 240, 12), ids: linesOfFeatures(random) }),
    reference: embedBackward,
    outputs: { dtable: "gradient", dfeatures: "gradient" },
    stored: ["dfeatures"],
  }),
  ...shapes.map(([rows, columns]) =>
    conformance<Backward>({
      op: "embed_backward",
      title: `${rows} rows of ${columns}`,
      args: (random) => backwardArgs(random, rows, columns),
      reference: embedBackward,
      outputs: { dtable: "gradient", dfeatures: "gradient" },
      stored: ["dfeatures"],
      derivative: derivativeOf<Backward, Inputs & { features: Floats }>({
        inputs: ({ ids, scale }) => ({
          table: new Float64Array(vocabulary * columns),
          features: new Float64Array(featureRows * columns),
          ids,
          rows,
          columns,
          scale,
        }),
        forward: embed,
        cotangents: { y: "dy" },
        gradients: { dtable: "table", dfeatures: "features" },
      }),
    }),
  ),
  conformance<Backward>({
    op: "embed_backward",
    title: "a frozen table",
    args: (random) => ({ ...backwardArgs(random, 30, 7), dtable: null }),
    reference: embedBackward,
    outputs: { dfeatures: "gradient" },
    stored: ["dfeatures"],
  }),
  conformance<Backward>({
    op: "embed_backward",
    title: "features that want no gradient",
    args: (random) => ({ ...backwardArgs(random, 30, 7), dfeatures: null }),
    reference: embedBackward,
    outputs: { dtable: "gradient" },
  }),
];
