/** Ops that walk rows or elements once: norms, activations, the head with its log-probs, the optimizer. */
import type { Precision } from "../../src/native/types.js";
import { precisions } from "../models.js";
import {
  fp32Epsilon,
  type OpCase,
  packMatrix,
  productError,
  requireClose,
  runOp,
  samples,
  unwritten,
} from "../op-case.js";
import { source, tokens, uniforms } from "../random-inputs.js";

/** Rows of the training batch of the decoder of 7 M parameters. */
const ROWS = 3072;
const random = () => source(7);
const near = (magnitude: number) => 256 * fp32Epsilon * Math.max(1, Math.abs(magnitude));

function sumOfSquares(x: Float32Array): number {
  return x.reduce((sum, value) => sum + value ** 2, 0);
}

function rmsNorm(columns: number): OpCase {
  return {
    id: `ops/rms-norm/${ROWS}x${columns}`,
    op: "rms_norm",
    limit: "memory",
    bytes: 4 * ROWS * (2 * columns + 1),
    prepare: (context) => {
      const x = uniforms(random(), ROWS * columns);
      const weight = uniforms(random(), columns);
      const [y, rstd] = [unwritten(x.length), unwritten(ROWS)];
      const args = { x, weight, y, rstd, rows: ROWS, columns, epsilon: 1e-5 };
      return {
        args,
        check: () => {
          runOp(context, "rms_norm", args);
          const last = x.subarray((ROWS - 1) * columns);
          const scale = 1 / Math.sqrt(sumOfSquares(last) / columns + 1e-5);
          for (const c of samples(columns)) {
            const expected = last[c]! * scale * weight[c]!;
            requireClose(`y of the last row, ${c}`, y[(ROWS - 1) * columns + c]!, expected, near(expected));
          }
        },
      };
    },
  };
}

function rmsNormBackward(columns: number): OpCase {
  return {
    id: `ops/rms-norm-backward/${ROWS}x${columns}`,
    op: "rms_norm_backward",
    limit: "memory",
    // dx is read and written.
    bytes: 4 * ROWS * (4 * columns + 1),
    prepare: (context) => {
      const [x, dy] = [uniforms(random(), ROWS * columns), uniforms(source(8), ROWS * columns)];
      const weight = uniforms(random(), columns);
      const rstd = new Float32Array(ROWS);
      for (let row = 0; row < ROWS; row++) {
        rstd[row] = 1 / Math.sqrt(sumOfSquares(x.subarray(row * columns, (row + 1) * columns)) / columns);
      }
      const [dx, dweight] = [new Float32Array(x.length), new Float32Array(columns)];
      const args = { dy, x, weight, rstd, dx, dweight, rows: ROWS, columns };
      return {
        args,
        check: () => {
          runOp(context, "rms_norm_backward", args);
          const at = (ROWS - 1) * columns;
          const scale = rstd[ROWS - 1]!;
          let mean = 0;
          for (let c = 0; c < columns; c++) mean += (x[at + c]! * scale * dy[at + c]! * weight[c]!) / columns;
          for (const c of samples(columns)) {
            const expected = scale * (dy[at + c]! * weight[c]! - x[at + c]! * scale * mean);
            requireClose(`dx of the last row, ${c}`, dx[at + c]!, expected, near(expected));
          }
        },
      };
    },
  };
}

function layerNorm(columns: number): OpCase {
  return {
    id: `ops/layer-norm/${ROWS}x${columns}`,
    op: "layer_norm",
    limit: "memory",
    bytes: 4 * ROWS * (2 * columns + 2),
    prepare: (context) => {
      const x = uniforms(random(), ROWS * columns);
      const [weight, bias] = [uniforms(random(), columns), uniforms(source(8), columns)];
      const [y, mean, rstd] = [unwritten(x.length), unwritten(ROWS), unwritten(ROWS)];
      const args = { x, weight, bias, y, mean, rstd, rows: ROWS, columns, epsilon: 1e-5 };
      return {
        args,
        check: () => {
          runOp(context, "layer_norm", args);
          const last = x.subarray((ROWS - 1) * columns);
          const centre = last.reduce((sum, value) => sum + value, 0) / columns;
          const variance = last.reduce((sum, value) => sum + (value - centre) ** 2, 0) / columns;
          for (const c of samples(columns)) {
            const expected = ((last[c]! - centre) / Math.sqrt(variance + 1e-5)) * weight[c]! + bias[c]!;
            requireClose(`y of the last row, ${c}`, y[(ROWS - 1) * columns + c]!, expected, near(expected));
          }
        },
      };
    },
  };
}

const silu = (z: number) => z / (1 + Math.exp(-z));

function swiglu(width: number): OpCase {
  return {
    id: `ops/swiglu/${ROWS}x${width}`,
    op: "swiglu",
    limit: "memory",
    bytes: 4 * ROWS * 3 * width,
    prepare: (context) => {
      const gate_up = uniforms(random(), ROWS * 2 * width);
      const y = unwritten(ROWS * width);
      const args = { gate_up, y, rows: ROWS, width };
      return {
        args,
        check: () => {
          runOp(context, "swiglu", args);
          for (const i of samples(width)) {
            const at = (ROWS - 1) * 2 * width + i;
            const expected = silu(gate_up[at]!) * gate_up[at + width]!;
            requireClose(`y of the last row, ${i}`, y[(ROWS - 1) * width + i]!, expected, near(expected));
          }
        },
      };
    },
  };
}

function swigluBackward(width: number): OpCase {
  return {
    id: `ops/swiglu-backward/${ROWS}x${width}`,
    op: "swiglu_backward",
    limit: "memory",
    bytes: 4 * ROWS * 5 * width,
    prepare: (context) => {
      const gate_up = uniforms(random(), ROWS * 2 * width);
      const dy = uniforms(source(8), ROWS * width);
      const dgate_up = unwritten(gate_up.length);
      const args = { dy, gate_up, dgate_up, rows: ROWS, width };
      return {
        args,
        check: () => {
          runOp(context, "swiglu_backward", args);
          for (const i of samples(width)) {
            const at = (ROWS - 1) * 2 * width + i;
            const expected = dy[(ROWS - 1) * width + i]! * silu(gate_up[at]!);
            requireClose(`dup of the last row, ${i}`, dgate_up[at + width]!, expected, near(expected));
          }
        },
      };
    },
  };
}

interface HeadShape {
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  readonly vocabulary: number;
}

function linearLogProb(
  direction: "forward" | "backward",
  { name, rows, columns, vocabulary }: HeadShape,
  precision: Precision,
): OpCase {
  const product = 2 * rows * columns * vocabulary;
  const backward = direction === "backward";
  return {
    id: `ops/linear-log-prob${backward ? "-backward" : ""}/${name}/${precision}`,
    op: backward ? "linear_log_prob_backward" : "linear_log_prob",
    limit: precision,
    // The backward pass needs the logits again, which counts, for they were never kept.
    flops: backward ? 3 * product : product,
    bytes: 4 * (rows * columns + vocabulary * columns) * (backward ? 2 : 1),
    prepare: (context) => {
      const x = uniforms(random(), rows * columns);
      const weight = uniforms(source(8), vocabulary * columns).map((value) => value / 8);
      const targets = tokens(random(), rows, vocabulary);
      const pack = (transpose: boolean) =>
        packMatrix(context, precision, weight, { rows: vocabulary, columns, transpose });
      const packed_weight = pack(true);
      const inputs = {
        x,
        weight: null,
        packed_weight,
        targets,
        rows,
        columns,
        vocabulary,
        inverse_temperature: 1,
        precision,
      };
      const log_probs = unwritten(rows);
      const dx = unwritten(x.length);
      const dlog_probs = uniforms(random(), rows);
      const dweight = new Float32Array(weight.length);
      const args = backward
        ? { ...inputs, packed_transposed: pack(false), dlog_probs, dentropies: null, dx, dweight }
        : { ...inputs, log_probs, entropies: null };
      return {
        args,
        check: () => {
          runOp(context, backward ? "linear_log_prob_backward" : "linear_log_prob", args);
          const at = (rows - 1) * columns;
          const logits = Array.from({ length: vocabulary }, (_, v) => {
            let sum = 0;
            for (let c = 0; c < columns; c++) sum += x[at + c]! * weight[v * columns + c]!;
            return sum;
          });
          const logSum = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
          const target = targets[rows - 1]!;
          const allowed = productError(columns, precision);
          if (!backward) {
            requireClose("log-prob of the last row", log_probs[rows - 1]!, logits[target]! - logSum, allowed);
            return;
          }
          for (const c of samples(columns)) {
            const expected = logits.reduce((sum, logit, v) => {
              const dlogit = (v === target ? 1 : 0) - Math.exp(logit - logSum);
              return sum + dlog_probs[rows - 1]! * dlogit * weight[v * columns + c]!;
            }, 0);
            requireClose(`dx of the last row, ${c}`, dx[at + c]!, expected, allowed);
          }
        },
      };
    },
  };
}

function adamw(count: number): OpCase {
  return {
    id: `ops/adamw/${count}`,
    op: "adamw",
    limit: "memory",
    // Parameter, gradient and both moments are read and written.
    bytes: 4 * 8 * count,
    prepare: (context) => {
      const [parameter, gradient] = [uniforms(random(), count), uniforms(source(8), count)];
      const [first_moment, second_moment] = [new Float32Array(count), new Float32Array(count)];
      const [learning_rate, beta1, beta2, epsilon, weight_decay] = [1e-4, 0.9, 0.999, 1e-8, 0];
      const args = {
        parameters: [parameter],
        gradients: [gradient],
        first_moments: [first_moment],
        second_moments: [second_moment],
        counts: BigInt64Array.of(BigInt(count)),
        bias_corrections1: Float32Array.of(1 - beta1),
        bias_corrections2: Float32Array.of(1 - beta2),
        squares: Float64Array.of(1),
        ...{ tensors: 1, groups: 1, group: 0, max_norm: Number.POSITIVE_INFINITY },
        ...{ learning_rate, beta1, beta2, epsilon, weight_decay },
      };
      return {
        args,
        check: () => {
          const [before, sign] = [parameter.slice(), gradient.map(Math.sign)];
          runOp(context, "adamw", args);
          // In the first step every parameter moves by the learning rate against its gradient's sign.
          for (const i of samples(count)) {
            const expected = before[i]! - learning_rate * sign[i]!;
            requireClose(`parameter ${i}`, parameter[i]!, expected, near(1) / 16 + learning_rate / 1000);
          }
        },
      };
    },
  };
}

const heads: readonly HeadShape[] = [
  { name: "decoder-7m", rows: ROWS, columns: 256, vocabulary: 1024 },
  { name: "decoder-135m", rows: 1024, columns: 576, vocabulary: 49_152 },
];

export const rowCases: readonly OpCase[] = [
  ...[256, 576].flatMap((columns) => [rmsNorm(columns), rmsNormBackward(columns)]),
  layerNorm(128),
  ...[1024, 1536].flatMap((width) => [swiglu(width), swigluBackward(width)]),
  ...(["forward", "backward"] as const).flatMap((direction) =>
    heads.flatMap((head) => precisions.map((precision) => linearLogProb(direction, head, precision))),
  ),
  adamw(6_818_048),
];
