import { expect } from "vitest";
import { deriveKey, Random } from "../../src/random.js";
import type { Backend, OpArgument, OpArguments } from "./native-ops.js";
import { largestRounding, roundStored, runStored, type Storage, toBfloat16 } from "./storage.js";

/** Rounds the result of one step of arithmetic: not at all for the truth, to fp32 for the baseline. */
export type Rounding = (x: number) => number;

/** Arrays that an op writes, by the name of the argument. */
export type Outputs = Record<string, ArrayLike<number>>;

/**
 * The plain statement of what an op computes. It leaves `args` alone, returns every output, and passes the result of
 * each addition, product, quotient and function through `round`; sums run in order of index. An addition to an argument that
 * the case lists as `stored`, where the op adds to it in memory more than once, it passes through `store` instead.
 * What it computes and then multiplies in a sum of products passes through `operand`.
 */
export type Reference<A> = (args: A, round: Rounding, store: Rounding, operand: Rounding) => Outputs;

/**
 * How an output is judged: "forward" values may err twice, "gradient" values three times what the baseline errs, "exact"
 * values not at all.
 */
export type Judgement = "forward" | "gradient" | "exact";

/** Elements [whole, whole + length) of a case's output and the elements [part, part + length) that must equal them. */
export interface Region {
  whole: number;
  part: number;
  length: number;
}

/** Another way to the same bits: a row on its own, a packed operand, outputs that overwrite inputs. */
export interface Equivalent<A> {
  title: string;
  args: A;
  /** By name of the output; none of an output means all of it. */
  regions?: Record<string, Region>;
}

/** The forward pass whose derivative a case computes. */
export interface Derivative<A> {
  /** Its inputs, made of the case's arguments in float64, and a function that computes it from what they hold now. */
  start(args: A): { inputs: OpArguments; run(): Outputs };
  /** The argument that holds dL/dy, by name of the forward output y. */
  cotangents: Record<string, keyof A & string>;
  /** The forward input x, by name of the output that holds dL/dx. */
  gradients: Record<string, string>;
}

const exactly: Rounding = (x) => x;

/** @param parts.inputs the forward pass's arguments that `forward` reads, sharing arrays with those of the case */
export function derivativeOf<A extends OpArguments, F extends OpArguments>(parts: {
  inputs(args: A): F;
  forward: Reference<F>;
  cotangents: Record<string, keyof A & string>;
  gradients: Record<string, keyof F & string>;
}): Derivative<A> {
  const { cotangents, gradients } = parts;
  return {
    start: (args) => {
      const inputs = parts.inputs(args);
      return { inputs, run: () => parts.forward(inputs, exactly, exactly, exactly) };
    },
    cotangents,
    gradients,
  };
}

/** One op at one shape. */
export interface OpCase<A extends OpArguments> {
  /** Name in `native/ops/op_list.h`. */
  op: string;
  /** The shape and what is special about it; completes "<op> with ...". */
  title: string;
  args(random: Random, backend: Backend, storage: Storage): A;
  /** Arguments of the native op, where they are not A; arrays that the op writes are those of A. Default: A. */
  bind?(args: A, backend: Backend): OpArguments;
  reference: Reference<A>;
  outputs: Record<string, Judgement>;
  /**
   * The arguments, of A or of the native op, that may be stored as bfloat16: the case then runs with all of them so, too.
   * Default: none may.
   */
  stored?: readonly string[];
  equivalents?(args: A): Equivalent<A>[];
  /** Whether it multiplies matrices; equivalents then hold where a backend sums in a fixed order. */
  multiplies?: boolean;
  derivative?: Derivative<A>;
}

/** A case whose arguments' type is hidden, so that cases of all ops make one list. Each check throws when it fails. */
export interface Conformance {
  op: string;
  title: string;
  /** How its arguments can be stored. */
  storages: readonly Storage[];
  /**
   * The op errs no more than rounding every step of the reference to fp32 would let it, and results that are stored as
   * bfloat16 one rounding to that more.
   */
  checkAccuracy(backend: Backend, storage: Storage): void;
  /** Any number of threads and any number of calls give the same bits. */
  checkRepeatability(backend: Backend, storage: Storage): void;
  /** Whether equivalent calls give the same bits only on backends that sum products in a fixed order. */
  multiplies: boolean;
  /** Equivalent calls give the same bits; absent if the case has none. */
  checkEquivalents: ((backend: Backend, storage: Storage) => void) | undefined;
  /** The reference is the derivative of its forward pass; absent if the case is no gradient. */
  checkDerivative: (() => void) | undefined;
}

/**
 * An op may err this many times what the baseline errs, and one unit in the last place of the largest magnitude more: the
 * baseline may be exact by luck, and its functions are rounded correctly.
 */
const allowedFactor = { forward: 2, gradient: 3 };

export function conformance<A extends OpArguments>(c: OpCase<A>): Conformance {
  const { stored = [], multiplies = false, equivalents, derivative } = c;
  const newArgs = (backend: Backend, storage: Storage) => {
    const args = c.args(seededBy(`${c.op} ${c.title}`), backend, storage);
    if (storage === "bf16") roundStored(stored, args);
    return args;
  };
  const run = (backend: Backend, storage: Storage, args: A, threads = 1) => {
    const bound = c.bind ? c.bind(args, backend) : args;
    if (storage === "fp32") backend.run(c.op, bound, threads);
    else runStored(stored, args, bound, (halved) => backend.run(c.op, halved, threads));
    return args;
  };
  return {
    op: c.op,
    title: c.title,
    multiplies,
    storages: stored.length > 0 ? ["fp32", "bf16"] : ["fp32"],
    checkAccuracy(backend, storage) {
      const args = newArgs(backend, storage);
      const truth = c.reference(args, exactly, exactly, exactly);
      const store = storage === "bf16" ? toBfloat16 : Math.fround;
      const operand = backend.roundsOperands ? store : Math.fround;
      const baseline = c.reference(args, Math.fround, store, operand);
      run(backend, storage, args);
      for (const [name, judgement] of Object.entries(c.outputs)) {
        const actual = numbers(args[name]);
        const halved = storage === "bf16" && stored.includes(name);
        if (judgement === "exact") {
          expectSame(name, actual, halved ? Float64Array.from(truth[name]!, toBfloat16) : truth[name]!);
        } else {
          const rounding = largestError(baseline[name]!, truth[name]!).error;
          const slack = 2 ** -23 * largestMagnitude(truth[name]!);
          const allowed = allowedFactor[judgement] * rounding + slack;
          const storing = (x: number) => (halved ? largestRounding(Math.abs(x) + allowed) : 0);
          const { error, at } = largestError(actual, truth[name]!, storing);
          const message = `error of ${name}[${at}], where rounding errs ${rounding}`;
          expect(error, message).toBeLessThanOrEqual(allowed);
        }
      }
    },
    checkRepeatability(backend, storage) {
      const first = run(backend, storage, newArgs(backend, storage));
      for (const threads of [1, 3, 3]) {
        const again = run(backend, storage, newArgs(backend, storage), threads);
        for (const name of Object.keys(c.outputs))
          expectSame(name, numbers(again[name]), numbers(first[name]));
      }
    },
    checkEquivalents: equivalents
      ? (backend, storage) => {
          const whole = run(backend, storage, newArgs(backend, storage));
          for (const { title, args, regions } of equivalents(newArgs(backend, storage))) {
            run(backend, storage, args);
            for (const name of Object.keys(c.outputs)) {
              if (regions && !regions[name]) continue;
              expectSame(`${title}: ${name}`, numbers(args[name]), numbers(whole[name]), regions?.[name]);
            }
          }
        }
      : undefined,
    checkDerivative: derivative
      ? () => checkDerivative(widened(newArgs(unpacked, "fp32")), c.reference, derivative, seededBy(c.title))
      : undefined,
  };
}

/** Stands in for a backend where only a case's logical arguments are wanted. */
const unpacked: Backend = {
  name: "none",
  run: () => {},
  packedSize: (_, k, n) => k * n,
  packs: "panels",
  sumsInFixedOrder: true,
  roundsOperands: false,
};

const stepSize = 1e-4;
const probesPerInput = 12;
/** Relative to the largest gradient, or to 1. Truncation is of order step^4, rounding of order 2^-53 |L| / step. */
const derivativeTolerance = 1e-7;

/**
 * Compares a float64 reference gradient with five-point central differences of L = sum cotangent . output at a few
 * randomly chosen elements of each input.
 */
function checkDerivative<A extends OpArguments>(
  args: A,
  reference: Reference<A>,
  derivative: Derivative<A>,
  random: Random,
): void {
  const cotangents = new Map(
    Object.entries(derivative.cotangents).map(([output, name]) => [output, numbers(args[name]).slice()]),
  );
  const { inputs, run } = derivative.start(args);
  const loss = () => {
    const outputs = run();
    let sum = 0;
    for (const [output, cotangent] of cotangents)
      for (let i = 0; i < cotangent.length; i++) sum += cotangent[i]! * outputs[output]![i]!;
    return sum;
  };
  // What the forward pass saved, in float64; and gradients that start from nothing.
  const written: OpArguments = {};
  const read = new Set<string>(Object.values(derivative.cotangents));
  for (const [name, values] of Object.entries(run()))
    if (args[name] && !read.has(name)) written[name] = Float64Array.from(values);
  for (const name of Object.keys(derivative.gradients))
    if (!read.has(name)) written[name] = new Float64Array(numbers(args[name]).length);
  const gradients = reference({ ...args, ...written }, exactly, exactly, exactly);

  for (const [output, inputName] of Object.entries(derivative.gradients)) {
    const input = numbers(inputs[inputName]);
    const gradient = gradients[output]!;
    expect(gradient.length, `length of ${output}`).toBe(input.length);
    const allowed = derivativeTolerance * Math.max(1, largestMagnitude(gradient));
    for (let probe = 0; probe < Math.min(probesPerInput, input.length); probe++) {
      const i = input.length <= probesPerInput ? probe : random.integer(input.length);
      const at = input[i]!;
      const lossAt = (steps: number) => {
        input[i] = at + steps * stepSize;
        return loss();
      };
      const difference = (8 * (lossAt(1) - lossAt(-1)) - (lossAt(2) - lossAt(-2))) / (12 * stepSize);
      input[i] = at;
      const message = `${output}[${i}] against differences of the forward pass: ${gradient[i]}, ${difference}`;
      expect(Math.abs(gradient[i]! - difference), message).toBeLessThanOrEqual(allowed);
    }
  }
}

/** A stream of random numbers of its own for every text. */
function seededBy(text: string): Random {
  let hash = 0x811c9dc5; // FNV-1a
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return new Random(deriveKey(hash >>> 0));
}

/** The same arguments with every array of floats in float64. */
function widened<A extends OpArguments>(args: A): A {
  const wide = Object.entries(args).map(([name, value]) => [
    name,
    value instanceof Float32Array ? Float64Array.from(value) : value,
  ]);
  return Object.fromEntries(wide) as A;
}

type NumberArray = Float32Array | Float64Array | Int32Array | Uint32Array | Uint16Array;

function numbers(value: OpArgument | undefined): NumberArray {
  if (ArrayBuffer.isView(value) && !(value instanceof BigInt64Array)) return value;
  throw new TypeError(`expected an argument that is a typed array, received ${value}`);
}

/** The largest |actual - truth| - forgiven(truth); infinite where one of the two is not a number. */
function largestError(
  actual: ArrayLike<number>,
  truth: ArrayLike<number>,
  forgiven: (truth: number) => number = () => 0,
): { error: number; at: number } {
  let worst = { error: 0, at: 0 };
  expect(actual.length, "length").toBe(truth.length);
  for (let i = 0; i < truth.length; i++) {
    const error = Math.abs(actual[i]! - truth[i]!) - forgiven(truth[i]!);
    if (!(error <= worst.error))
      worst = { error: Number.isNaN(error) ? Number.POSITIVE_INFINITY : error, at: i };
  }
  return worst;
}

function largestMagnitude(values: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < values.length; i++) largest = Math.max(largest, Math.abs(values[i]!));
  return largest;
}

/**
 * Fails at the first element of a region (default: all of two arrays of one length) whose bits differ: 0 is not -0.
 */
export function expectSame(
  message: string,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  region?: Region,
): void {
  if (!region) expect(actual.length, `length of ${message}`).toBe(expected.length);
  const { whole, part, length } = region ?? { whole: 0, part: 0, length: expected.length };
  for (let i = 0; i < length; i++) {
    const [a, e] = [actual[part + i], expected[whole + i]];
    if (a === undefined || !Object.is(a, e)) expect(a, `${message}[${part + i}]`).toBe(e);
  }
}

/** Regions for outputs that hold `size` elements for each row, where a part begins with row `row` of the whole. */
export function rowsOf(row: number, rows: number, sizes: Record<string, number>): Record<string, Region> {
  return Object.fromEntries(
    Object.entries(sizes).map(([name, size]) => [name, { whole: row * size, part: 0, length: rows * size }]),
  );
}
