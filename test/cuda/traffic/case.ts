import type { OpArguments } from "../../ops/native-ops.js";

/** Bytes by what they are of. */
export type Bytes = Readonly<Record<string, number>>;

/** What a kernel has to move between the multiprocessors and memory, whatever its code asks for. */
export interface KernelTraffic {
  /** Each array of the kernel's contract once: read, written, or, where it is added to, both. */
  readonly once: Bytes;
  /** What its strategy moves beyond, with where it comes from: a second pass over a row, an operand that every block reads. */
  readonly again?: Bytes;
}

/** A call of an op at the shape of a model's layer. */
export interface TrafficCase {
  readonly op: string;
  readonly title: string;
  readonly args: OpArguments;
  readonly kernels: Readonly<Record<string, KernelTraffic>>;
  /**
   * Whether cuBLASLt has a part in it, or a scratch matrix as large as an operand. Default: no, and then what the kernels move
   * `once` must add up to the op's bytes (`OpWork.bytes`).
   */
  readonly multiplies?: true;
}

/** Mistral-7B. */
export const mistral = {
  hidden: 4096,
  feedForward: 14336,
  vocabulary: 32000,
  heads: 32,
  kvHeads: 8,
  headSize: 128,
} as const;
/** CLIP ViT-L/14 of 336 x 336 pixels. */
export const clip = { hidden: 1024, heads: 16, headSize: 64 } as const;

/** Bytes of an fp32 or an integer, of a bf16, and of the least that memory moves. */
export const [word, half, sector] = [4, 2, 32] as const;

export const floats = (count: number) => new Float32Array(count).fill(0.5);
export const halves = (count: number) => new Uint16Array(count).fill(0x3f00); // 0.5
export const integers = (count: number, value: (i: number) => number) =>
  Int32Array.from({ length: count }, (_, i) => value(i));
