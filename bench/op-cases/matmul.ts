/** C (M, N) = A (M, K) B (K, N) with B a weight that is packed beforehand; all three are stored in the precision measured. */
import type { Precision } from "../../src/native/types.js";
import type { PeerRequest } from "../comparison.js";
import { precisions } from "../models.js";
import {
  type OpCase,
  packMatrix,
  productError,
  read,
  requireClose,
  runOp,
  samples,
  stored,
  storingError,
  unwritten,
} from "../op-case.js";
import { source, uniforms } from "../random-inputs.js";
import type { BenchContext } from "../suite.js";

type Shape = readonly [m: number, n: number, k: number];

/** Square, of the models that are measured here at 3072 rows, and of a 7B model at 1024 rows. */
const trainingShapes: readonly Shape[] = [
  [512, 512, 512],
  [1024, 1024, 1024],
  [2048, 2048, 2048],
  [3072, 512, 128],
  [3072, 128, 512],
  [3072, 768, 192],
  [3072, 192, 768],
  [3072, 1024, 256],
  [3072, 256, 1024],
  [3072, 1536, 384],
  [3072, 384, 1536],
  [256, 1024, 256],
  [8192, 1024, 256],
  [1024, 256, 3072],
  [1024, 4096, 4096],
  [1024, 14_336, 4096],
];

/** One row per sequence that is being decoded. */
const decodeShapes: readonly Shape[] = [1, 8, 32, 64].flatMap((m): Shape[] => [
  [m, 1024, 256],
  [m, 4096, 1024],
  [m, 4096, 4096],
]);

export const matmulCases: readonly OpCase[] = precisions.flatMap((precision) => [
  ...trainingShapes.map((shape) => matmulCase("training", shape, precision)),
  ...decodeShapes.map((shape) => matmulCase("decode", shape, precision)),
]);

function matmulCase(use: "training" | "decode", [m, n, k]: Shape, precision: Precision): OpCase {
  const size = precision === "bf16" ? 2 : 4;
  return {
    id: `ops/matmul/${use}/${precision}/${m}x${n}x${k}`,
    op: "matmul",
    limit: precision,
    flops: 2 * m * n * k,
    bytes: size * (n * k + m * (n + k)),
    prepare: (context) => {
      const random = source(3, m, n, k);
      const a = stored(precision, uniforms(random, m * k));
      const weight = uniforms(random, n * k);
      const c = stored(precision, unwritten(m * n));
      const args = {
        ...{ a, a_row_stride: k, a_column_stride: 1 },
        ...{ b: null, b_row_stride: 0, b_column_stride: 0 },
        packed_b: packMatrix(context, precision, weight, { rows: n, columns: k, transpose: true }),
        ...{ c, c_row_stride: n, bias: null, addend: null, addend_row_stride: 0 },
        ...{ m, n, k, alpha: 1, accumulate: false, precision },
      };
      return {
        args,
        check: () => {
          runOp(context, "matmul", args);
          for (const row of samples(m, 4)) {
            for (const column of samples(n)) {
              let sum = 0;
              for (let i = 0; i < k; i++) sum += read(a, row * k + i) * weight[column * k + i]!;
              const allowed = productError(k, precision) + storingError(sum, precision);
              requireClose(`C[${row}, ${column}]`, read(c, row * n + column), sum, allowed);
            }
          }
        },
        peers: peerRequests(context, { m, n, k, dtype: precision }),
      };
    },
  };
}

/** oneDNN's packed weights, and for a few rows also what a user gets without packing. */
function peerRequests(
  { peers }: BenchContext,
  shape: { m: number; n: number; k: number; dtype: Precision },
): PeerRequest[] {
  const request = (packed: boolean): PeerRequest => ({
    supply: peers.pytorch,
    variant: `${packed ? "packed" : "linear"} ${shape.dtype}`,
    case: "matmul",
    settings: { ...shape, packed },
  });
  return shape.m <= 64 ? [request(true), request(false)] : [request(true)];
}
