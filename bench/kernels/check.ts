/** Whether a GPU computes what the CPU does, as far as rounding lets it. */
import type { CpuPath } from "../../src/native/types.js";
import { type OpArguments, testingAddon } from "../testing-addon.js";
import {
  type KernelCase,
  type Layout,
  type Result,
  type RunOp,
  widened,
  widenedNumbers,
} from "./kernel-case.js";

/** The CPU that results are compared with. */
export interface CpuReference {
  readonly cpu: CpuPath;
  readonly threads: number;
}

/** Runs an op on that CPU. */
export const runOn =
  ({ cpu, threads }: CpuReference): RunOp =>
  (op, args) =>
    testingAddon.runOp(cpu, threads, op, args);

/** As the CPU packs weights, and lays out pages of the KV cache. */
const cpuLayout = (cpu: CpuPath): Layout => ({
  transposesKeys: true,
  packedSize: (precision, k, n) => testingAddon.packedSize(cpu, precision, k, n),
});

/** Rows as they are. */
export const gpuLayout: Layout = {
  transposesKeys: false,
  packedSize: (precision, k, n) => Math.ceil((k * n) / (precision === "bf16" ? 2 : 1)),
};

/** How many times what the CPU errs in bfloat16 the GPU may err. */
const factors = { forward: 2, gradient: 3 } as const;

/**
 * Compares what a GPU has written with the CPU's op on the same arguments. What the op computes in fp32 is the truth; in bfloat16 the
 * CPU errs by its rounding, and the GPU may err twice as much (gradients three times), the largest error of any element each. To
 * that comes what summing in another order does in fp32: the square root of the number of terms times a few roundings of the largest
 * result.
 *
 * @param written the case's arguments in the GPU's layout, with its results
 * @throws Error naming the first element that errs more
 */
export function checkResults(one: KernelCase, written: OpArguments, reference: CpuReference): void {
  const layout = cpuLayout(reference.cpu);
  const run = (args: OpArguments) => {
    runOn(reference)(one.op, args);
    return one.results(args, layout);
  };
  const args = one.arguments(layout, runOn(reference));
  const truths = run(widened(args));
  const rounded = Object.values(args).some(
    (value) =>
      value === "bf16" ||
      value instanceof Uint16Array ||
      (Array.isArray(value) && value[0] instanceof Uint16Array),
  );
  const baselines = rounded ? run(args) : truths;
  one.results(written, gpuLayout).forEach((result, index) => {
    requireResult(result, truths[index]!, baselines[index]!, one.terms);
  });
}

function requireResult(result: Result, truth: Result, baseline: Result, terms: number): void {
  const { name, judgement } = result;
  const [actual, expected, usual] = [result, truth, baseline].map(({ values }) => widenedNumbers(values));
  if (judgement === "exact" || judgement === "draws") {
    const different = Array.from(actual!).flatMap((value, i) => (value === expected![i] ? [] : [i]));
    const allowed = judgement === "exact" ? 0 : 1 + Math.floor(actual!.length / 16);
    if (different.length <= allowed) return;
    const at = different[0]!;
    throw new Error(
      `wrong result, not timed: ${name}: expected at most ${allowed} elements other than the CPU's, received ` +
        `${different.length}, the first at ${at}: ${actual![at]} instead of ${expected![at]}`,
    );
  }
  let error = 0;
  let largest = 0;
  for (let i = 0; i < expected!.length; i++) {
    error = Math.max(error, Math.abs(usual![i]! - expected![i]!));
    largest = Math.max(largest, Math.abs(expected![i]!));
  }
  const allowed = factors[judgement] * (error + 2 ** -22 * Math.sqrt(terms) * largest);
  for (let i = 0; i < expected!.length; i++) {
    // A NaN on either side is no number within any distance.
    if (Math.abs(actual![i]! - expected![i]!) <= allowed) continue;
    throw new Error(
      `wrong result, not timed: ${name}[${i}]: expected ${expected![i]} within ${allowed}, received ${actual![i]}`,
    );
  }
}
