/** Ops on rows and on single elements. */
import type { OpArgument } from "../../ops/native-ops.js";
import {
  floats,
  half,
  halves,
  integers,
  type KernelTraffic,
  mistral,
  type TrafficCase,
  word,
} from "./case.js";

/** How what may be bf16 is stored. */
interface Storage {
  readonly stored: string;
  readonly array: (count: number) => OpArgument;
  readonly bytes: number;
}

const { hidden, feedForward, heads, kvHeads, headSize } = mistral;

function norms({ stored, array, bytes }: Storage): TrafficCase[] {
  const rows = 128;
  const elements = rows * hidden;
  const weight = hidden * word;
  const sizes = { rows, columns: hidden };
  const statistics = { rstd: floats(rows), mean: floats(rows) };
  const forward = {
    x: floats(elements),
    weight: floats(hidden),
    y: array(elements),
    ...sizes,
    epsilon: 1e-5,
  };
  const backward = {
    dy: array(elements),
    x: forward.x,
    weight: forward.weight,
    dx: floats(elements),
    ...sizes,
  };
  const fromL1 = { "x and dy, from L1": elements * (word + bytes) };
  const parameters = (count: number): Record<string, KernelTraffic> => ({
    // Both read x and dy: as one, they would have to keep a sum per column of a row's block.
    column_partials_kernel: {
      once: {},
      again: {
        "x and dy": elements * (word + bytes),
        "statistics, 32 bytes per warp and row": (rows * count * 32 * hidden) / (32 * 4),
        partials: (rows / 64) * count * hidden * word,
      },
    },
    add_partials_kernel: {
      once: { dparameters: 2 * count * weight },
      again: { partials: (rows / 64) * count * hidden * word },
    },
  });
  return [
    {
      op: "rms_norm",
      title: `128 x 4096, to ${stored}`,
      args: { ...forward, rstd: statistics.rstd },
      kernels: {
        rms_norm_rows_kernel: {
          once: { x: elements * word, y: elements * bytes, rstd: rows * word, weight },
          again: { "x, from L1": elements * word, "the weight of every row but one": (rows - 1) * weight },
        },
      },
    },
    {
      op: "rms_norm_backward",
      title: `128 x 4096, from ${stored}`,
      args: { ...backward, rstd: statistics.rstd, dweight: floats(hidden) },
      kernels: {
        rms_norm_backward_rows_kernel: {
          once: {
            x: elements * word,
            dy: elements * bytes,
            dx: 2 * elements * word,
            rstd: rows * word,
            weight,
          },
          again: { ...fromL1, "the weight, twice per row": (2 * rows - 1) * weight },
        },
        ...parameters(1),
      },
    },
    {
      op: "layer_norm",
      title: `128 x 4096, to ${stored}`,
      args: { ...forward, ...statistics, bias: floats(hidden) },
      kernels: {
        layer_norm_rows_kernel: {
          once: {
            x: elements * word,
            y: elements * bytes,
            statistics: 2 * rows * word,
            parameters: 2 * weight,
          },
          again: {
            "x twice, from L1": 2 * elements * word,
            "the parameters of every row but one": 2 * (rows - 1) * weight,
          },
        },
      },
    },
    {
      op: "layer_norm_backward",
      title: `128 x 4096, from ${stored}`,
      args: { ...backward, ...statistics, dweight: floats(hidden), dbias: floats(hidden) },
      kernels: {
        layer_norm_backward_rows_kernel: {
          once: {
            x: elements * word,
            dy: elements * bytes,
            dx: 2 * elements * word,
            statistics: 2 * rows * word,
            weight,
          },
          again: { ...fromL1, "the weight, twice per row": (2 * rows - 1) * weight },
        },
        ...parameters(2),
      },
    },
  ];
}

function rows({ stored, array, bytes }: Storage): TrafficCase[] {
  const rows = 128;
  const [elements, ropeRow] = [rows * hidden, (heads + kvHeads) * headSize];
  const indices = integers(rows, (i) => (i * 37) % rows);
  const ids = integers(rows, (i) => (i % 3 === 0 ? -1 - i / 3 : i));
  const [tokens, features] = [rows - Math.ceil(rows / 3), Math.ceil(rows / 3)];
  const indexed = { "the index, 32 bytes per warp": rows * 8 * 32 };
  // A warp looks at every index before its row's and at every one behind; what a row shares with another it adds there.
  const parts = hidden / 512;
  return [
    {
      op: "embed",
      title: `128 rows of 4096, ${stored} tokens and features`,
      args: {
        table: array(elements),
        features: array(features * hidden),
        ids,
        y: floats(elements),
        rows,
        columns: hidden,
        scale: 1,
      },
      kernels: {
        embed_rows_kernel: {
          once: { rows: elements * bytes, y: elements * word, ids: rows * word },
          again: indexed,
        },
      },
    },
    {
      op: "gather_rows",
      title: `128 rows of 4096 in ${stored}`,
      args: { x: array(elements), indices, y: array(elements), count: rows, columns: hidden },
      kernels: {
        gather_rows_kernel: {
          once: { x: elements * bytes, y: elements * bytes, indices: rows * word },
          again: indexed,
        },
      },
    },
    {
      op: "embed_backward",
      title: "128 rows of 4096",
      args: {
        dy: floats(elements),
        ids,
        dtable: floats(elements),
        dfeatures: array(features * hidden),
        rows,
        columns: hidden,
        scale: 1,
      },
      kernels: {
        scatter_rows_kernel: {
          once: {
            dy: elements * word,
            tokens: 2 * tokens * hidden * word,
            features: 2 * features * hidden * bytes,
            ids: rows * word,
          },
          again: { "the ids, for every warp": rows * parts * (rows + 8) * word },
        },
      },
    },
    {
      op: "scatter_add_rows",
      title: `128 rows of 4096 in ${stored}`,
      args: { x: array(elements), indices, y: array(elements), count: rows, columns: hidden, scale: 1 },
      kernels: {
        scatter_rows_kernel: {
          once: { x: elements * bytes, y: 2 * elements * bytes, indices: rows * word },
          again: { "the indices, for every warp": rows * ((hidden * bytes) / 2048) * (rows + 8) * word },
        },
      },
    },
    {
      op: "sum_rows",
      title: `128 x 4096 in ${stored}`,
      args: { x: array(elements), sums: floats(hidden), rows, columns: hidden },
      kernels: {
        column_partials_kernel: {
          once: { x: elements * bytes },
          again: { partials: (rows / 64) * hidden * word },
        },
        add_partials_kernel: {
          once: { sums: 2 * hidden * word },
          again: { partials: (rows / 64) * hidden * word },
        },
      },
    },
    ...[1, 3].map(
      (axes): TrafficCase => ({
        op: "rope",
        title: `128 rows of 40 heads of 128 along ${axes} axes in ${stored}`,
        args: {
          x: array(rows * ropeRow),
          positions: integers(rows * axes, (i) => i),
          rows,
          row_stride: ropeRow,
          heads: heads + kvHeads,
          head_size: headSize,
          axes,
          section_0: 16,
          section_1: 24,
          theta: 1e4,
          restarts: false,
          inverse: false,
        },
        kernels: {
          rope_row_kernel: {
            once: { x: 2 * rows * ropeRow * bytes, positions: rows * axes * word },
            again: { "the positions, 32 bytes per warp": rows * 4 * 32 },
          },
        },
      }),
    ),
    {
      op: "swiglu",
      title: `32 x 14336 in ${stored}`,
      args: { gate_up: array(64 * feedForward), y: array(32 * feedForward), rows: 32, width: feedForward },
      kernels: { swiglu_rows_kernel: { once: { "gate, up and y": 3 * 32 * feedForward * bytes } } },
    },
    {
      op: "swiglu_backward",
      title: `32 x 14336 in ${stored}`,
      args: {
        dy: array(32 * feedForward),
        gate_up: array(64 * feedForward),
        dgate_up: array(64 * feedForward),
        rows: 32,
        width: feedForward,
      },
      kernels: {
        swiglu_backward_rows_kernel: {
          once: { "gate, up, their gradients and dy": 5 * 32 * feedForward * bytes },
        },
      },
    },
  ];
}

/** One warp takes 128 columns of a row: two of the 64 that a run of 16 counters serves. */
function dropped({ stored, array, bytes }: Storage): TrafficCase {
  const rows = 32;
  return {
    op: "dropout",
    title: `32 x 4096 in ${stored}`,
    args: {
      x: array(rows * hidden),
      y: array(rows * hidden),
      keys: new Uint32Array(2 * rows),
      positions: integers(rows, (i) => i),
      rows,
      columns: hidden,
      module: 1,
      rate: 0.1,
      accumulate: false,
    },
    kernels: {
      dropout_row_kernel: {
        once: { "x and y": 2 * rows * hidden * bytes, keys: 2 * rows * word, positions: rows * word },
        again: { "key (twice) and position, 32 bytes per warp": (rows * hidden * 3 * 32) / 128 },
      },
    },
  };
}

function elements({ stored, array, bytes }: Storage): TrafficCase[] {
  const count = 2 ** 18;
  const moved = (arrays: number) => ({ elementwise_kernel: { once: { arrays: arrays * count * bytes } } });
  const [x, y, z] = [array(count), array(count), array(count)];
  return [
    {
      op: "gelu",
      title: `2^18 elements in ${stored}`,
      args: { x, y, count, kind: "gelu" },
      kernels: moved(2),
    },
    {
      op: "gelu_backward",
      title: `2^18 elements in ${stored}`,
      args: { dy: x, x: y, dx: z, count, kind: "gelu" },
      kernels: moved(3),
    },
    { op: "relu", title: `2^18 elements in ${stored}`, args: { x, y, count }, kernels: moved(2) },
    {
      op: "relu_backward",
      title: `2^18 elements in ${stored}`,
      args: { dy: x, y, dx: z, count },
      kernels: moved(3),
    },
    { op: "add", title: `2^18 elements in ${stored}`, args: { x, y, count }, kernels: moved(3) },
  ];
}

function optimizer(): TrafficCase[] {
  const count = 2 ** 18;
  const counts = BigInt64Array.of(BigInt(count));
  return [
    {
      op: "sum_squares",
      title: "2^18 elements",
      args: { x: [floats(count)], counts, total: new Float64Array(1), tensors: 1 },
      kernels: {
        sum_squares_partials_kernel: {
          once: { x: count * word },
          again: { partials: (count / 2 ** 14) * 32 },
        },
        sum_squares_total_kernel: { once: {}, again: { "partials and total": (count / 2 ** 14) * 8 + 32 } },
      },
    },
    {
      op: "adamw",
      title: "2^18 elements",
      args: {
        parameters: [floats(count)],
        gradients: [floats(count)],
        first_moments: [floats(count)],
        second_moments: [floats(count)],
        counts,
        bias_corrections1: Float32Array.of(0.1),
        bias_corrections2: Float32Array.of(0.001),
        squares: Float64Array.of(1),
        ...{ tensors: 1, groups: 1, group: 0, max_norm: 1 },
        ...{ learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0 },
      },
      kernels: {
        adamw_kernel: {
          once: { "parameters, gradients and moments, read and written": 8 * count * word },
        },
      },
    },
  ];
}

const storages: readonly Storage[] = [
  { stored: "bf16", array: halves, bytes: half },
  { stored: "fp32", array: floats, bytes: word },
];

export const rowCases: readonly TrafficCase[] = [
  ...storages.flatMap((storage) => [
    ...norms(storage),
    ...rows(storage),
    dropped(storage),
    ...elements(storage),
  ]),
  ...optimizer(),
];
