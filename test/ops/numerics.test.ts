import { describe, expect, test } from "vitest";
import { deriveKey, Random } from "../../src/random.js";
import { normalShare } from "./activations.case.js";
import { normals, unwritten } from "./inputs.js";
import { backends, pack, packTransposed } from "./native-ops.js";

const smallestNormal = 2 ** -126;
const subnormals = (values: Float32Array) => values.filter((x) => x !== 0 && Math.abs(x) < smallestNormal);

describe.each(backends.map((backend) => [backend.name, backend] as const))("on %s", (_name, backend) => {
  test("moments of a parameter without gradient decay to zero, not to subnormal numbers", () => {
    const count = 20;
    const first_moment = normals(new Random(deriveKey(3)), count, 1e-36);
    const second_moment = first_moment.map((m) => Math.abs(m));
    const args = {
      parameters: [new Float32Array(count)],
      gradients: [new Float32Array(count)],
      first_moments: [first_moment],
      second_moments: [second_moment],
      counts: BigInt64Array.of(BigInt(count)),
      bias_corrections1: Float32Array.of(1),
      bias_corrections2: Float32Array.of(1),
      ...{ squares: Float64Array.of(0), tensors: 1, groups: 1, group: 0, max_norm: 1 },
      ...{ learning_rate: 1e-3, beta1: 0.9, beta2: 0.9, epsilon: 1e-8, weight_decay: 0 },
    };
    for (let step = 0; step < 100; step++) {
      backend.run("adamw", args);
      expect([...subnormals(first_moment), ...subnormals(second_moment)]).toEqual([]);
    }
    expect([...first_moment, ...second_moment].every((x) => x === 0)).toBe(true);
  });

  test("activations saturate without overflow far from zero", () => {
    const x = Float32Array.of(-1e4, -100, -20, 20, 100, 1e4);
    const y = unwritten(6);
    const dx = unwritten(6);
    for (const kind of ["gelu", "gelu_tanh"]) {
      backend.run("gelu", { x, y, count: 6, kind });
      expect([...y].map((v) => v + 0)).toEqual([0, 0, 0, 20, 100, 1e4]);
      backend.run("gelu_backward", { dy: new Float32Array(6).fill(1), x, dx, count: 6, kind });
      expect([...dx].map((v) => v + 0)).toEqual([0, 0, 0, 1, 1, 1]);
    }
    // The logistic form decays like its exponential: at -20 there is still something.
    const far = Float32Array.of(-1e4, -100, 100, 1e4);
    backend.run("gelu", { x: far, y, count: 4, kind: "quick_gelu" });
    expect([...y.subarray(0, 4)].map((v) => v + 0)).toEqual([0, 0, 100, 1e4]);
    backend.run("gelu_backward", {
      dy: new Float32Array(4).fill(1),
      x: far,
      dx,
      count: 4,
      kind: "quick_gelu",
    });
    expect([...dx.subarray(0, 4)].map((v) => v + 0)).toEqual([0, 0, 1, 1]);

    const gate_up = Float32Array.of(-1e4, -200, 200, 1e4, 1, 1, 1, 1);
    const silu = unwritten(4);
    backend.run("swiglu", { gate_up, y: silu, rows: 1, width: 4 });
    expect([...silu].map((v) => v + 0)).toEqual([0, 0, 200, 1e4]);
    const dgate_up = unwritten(8);
    backend.run("swiglu_backward", { dy: new Float32Array(4).fill(1), gate_up, dgate_up, rows: 1, width: 4 });
    expect([...dgate_up].map((v) => v + 0)).toEqual([0, 0, 1, 1, 0, 0, 200, 1e4]);
  });

  test("gelu errs by a few units in the last place, far out in the negative tail as well", () => {
    const x = Float32Array.from({ length: 24_001 }, (_, i) => -12.5 + i / 960);
    const y = unwritten(x.length);
    backend.run("gelu", { x, y, count: x.length, kind: "gelu" });
    let worst = { units: 0, at: 0 };
    x.forEach((v, i) => {
      const truth = v * normalShare(v);
      const units = Math.abs(y[i]! - truth) / 2 ** (Math.floor(Math.log2(Math.abs(truth))) - 23);
      if (v !== 0 && !(units <= worst.units)) worst = { units, at: v };
    });
    expect(worst.units, `units in the last place at ${worst.at}`).toBeLessThanOrEqual(8);
  });

  test("a distribution with all its weight on one token has entropy zero and finite gradients", () => {
    const [columns, vocabulary] = [1, 40];
    const weight = Float32Array.from({ length: vocabulary }, (_, v) => (v === 7 ? 1000 : -v));
    const packed_weight = packTransposed(backend, "fp32", weight, vocabulary, columns);
    const packed_transposed = pack(backend, "fp32", weight, vocabulary, columns);
    const shape = { rows: 2, columns, vocabulary, inverse_temperature: 5, precision: "fp32" };
    const shared = {
      x: Float32Array.of(1, 1),
      weight: null,
      packed_weight,
      targets: Int32Array.of(7, 3),
      ...shape,
    };
    const log_probs = unwritten(2);
    const entropies = unwritten(2);
    backend.run("linear_log_prob", { ...shared, log_probs, entropies });
    expect([...entropies].map((v) => v + 0)).toEqual([0, 0]);
    expect([...log_probs].map((v) => v + 0)).toEqual([0, -5015]);

    const gradients = { dx: unwritten(2), dweight: new Float32Array(vocabulary) };
    const cotangents = { dlog_probs: Float32Array.of(1, 1), dentropies: Float32Array.of(1, 1) };
    backend.run("linear_log_prob_backward", { ...shared, packed_transposed, ...cotangents, ...gradients });
    // The certain token gets no gradient; the impossible one is worth (weight[3] - weight[7]) / temperature.
    expect([...gradients.dx].map((v) => v + 0)).toEqual([0, 5 * (-3 - 1000)]);
    expect(gradients.dweight.every(Number.isFinite)).toBe(true);
    expect(subnormals(gradients.dweight).length).toBe(0);
  });
});
