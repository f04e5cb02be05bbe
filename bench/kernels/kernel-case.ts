/** One call of an op that a GPU is measured with. */
import type { Precision } from "../../src/native/types.js";
import { source, uniforms } from "../random-inputs.js";
import type { OpArguments } from "../testing-addon.js";
import type { Scale } from "./scales.js";

/** Numbers in the storage of a precision: fp32, or the bits of bfloat16. */
export type Numbers = Float32Array | Uint16Array;

/** What differs between the backends: how weights are packed, and how a page of the KV cache is laid out. */
export interface Layout {
  /** Whether keys are transposed within a page; values are rows either way. */
  readonly transposesKeys: boolean;
  /** 32-bit words of a packed (k, n) matrix. */
  packedSize(precision: Precision, k: number, n: number): number;
}

/**
 * How results are compared: "forward" and "gradient" by what rounding explains, "exact" by every bit, "draws" as tokens of which
 * a few may be neighbours, where a draw falls within rounding of the border between two.
 */
export type Judgement = "forward" | "gradient" | "exact" | "draws";

export interface Result {
  readonly name: string;
  readonly values: ArrayLike<number>;
  readonly judgement: Judgement;
}

/** A product by cuBLASLt that the op's time is compared with. */
export interface Comparison {
  readonly peer: string;
  /** Of the op `matmul`. */
  readonly args: OpArguments;
}

/** Runs an op on the CPU, for arguments that another op makes. */
export type RunOp = (op: string, args: OpArguments) => void;

export interface KernelCase {
  /** `kernels/<op>/<scale>/[<what>/]<sizes>/<precision>` */
  readonly id: string;
  /** Name in `native/ops/op_list.h`. */
  readonly op: string;
  /** Terms of the longest sum behind an element of a result. */
  readonly terms: number;
  /** Allocates and fills the arguments, the same in every call. */
  arguments(layout: Layout, run: RunOp): OpArguments;
  /** What a call has written to the arguments that `arguments` made, or that `widened` made of them. */
  results(args: OpArguments, layout: Layout): Result[];
  comparison?(args: OpArguments): Comparison;
}

/** The cases of some ops at one scale, in one precision. */
export type CaseList = (scale: Scale, precision: Precision) => KernelCase[];

/**
 * @param options.sizes what the call is known by, as `OpWork.shape` of `native/ops/op_work.h`
 * @param options.what tells apart calls of one op
 */
export function kernelCase(
  op: string,
  options: { scale: Scale; precision: Precision; sizes: readonly number[]; what?: string; terms?: number },
  parts: {
    arguments: KernelCase["arguments"];
    /** The arguments that hold results, or a function that reads them. */
    results: Record<string, Judgement> | KernelCase["results"];
    comparison?(args: OpArguments): Comparison;
  },
): KernelCase {
  const { scale, precision, sizes, what, terms = 1 } = options;
  const { results, comparison } = parts;
  const names = [op.replaceAll("_", "-"), scale.name, ...(what === undefined ? [] : [what])];
  return {
    id: ["kernels", ...names, sizes.join("x"), precision].join("/"),
    op,
    terms,
    arguments: parts.arguments,
    results:
      typeof results === "function"
        ? results
        : (args) =>
            Object.entries(results).map(([name, judgement]) => ({
              name,
              values: args[name] as Numbers | Float64Array | Int32Array,
              judgement,
            })),
    ...(comparison !== undefined && { comparison }),
  };
}

/** Longer arrays repeat with this period, a prime, so that no two rows of a matrix are alike. */
const PERIOD = 8191;

/** Numbers uniform over [-scale, scale), the same for every `key`, as this precision stores them. */
export function numbers(precision: Precision, count: number, key: number, scale = 1): Numbers {
  const drawn = uniforms(source(11, key), Math.min(count, PERIOD)).map((x) => scale * x);
  const values = zeros(precision, count);
  values.set(precision === "bf16" ? toBits(drawn) : drawn);
  // By doubling: a copy of memory is the fastest way to fill hundreds of megabytes.
  for (let filled = drawn.length; filled < count; filled *= 2) values.copyWithin(filled, 0, filled);
  return values;
}

export const floats = (count: number, key: number, scale = 1): Float32Array =>
  numbers("fp32", count, key, scale) as Float32Array;

export const zeros = (precision: Precision, count: number): Numbers =>
  precision === "bf16" ? new Uint16Array(count) : new Float32Array(count);

/** The bits of the nearest bfloat16, ties to even, of finite numbers. */
function toBits(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return Uint16Array.from(words, (word) => (word + 0x7fff + ((word >>> 16) & 1)) >>> 16);
}

/** The numbers whose bfloat16 bits these are; others are returned as they are. */
export function widenedNumbers(values: ArrayLike<number>): ArrayLike<number> {
  if (!(values instanceof Uint16Array)) return values;
  const wide = new Float32Array(values.length);
  const words = new Uint32Array(wide.buffer);
  for (let i = 0; i < values.length; i++) words[i] = values[i]! << 16;
  return wide;
}

/** The same call in fp32 throughout, on the same numbers. Arrays that are fp32 or integers already are copied. */
export function widened(args: OpArguments): OpArguments {
  const known = new Map<object, Float32Array>();
  const wide = (array: Numbers) => {
    const found = known.get(array) ?? (widenedNumbers(array.slice()) as Float32Array);
    known.set(array, found);
    return found;
  };
  return Object.fromEntries(
    Object.entries(args).map(([name, value]) => {
      if (Array.isArray(value)) return [name, value.map((array) => array && wide(array))];
      if (value instanceof Uint16Array) return [name, wide(value)];
      if (ArrayBuffer.isView(value)) return [name, value.slice()];
      return [name, name === "precision" ? "fp32" : value];
    }),
  );
}
