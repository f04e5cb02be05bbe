/** Tensors in safetensors files: what `tensor-files.ts` reads and writes. */

/** A tensor as the header of a safetensors file describes it: dense, row-major, little endian. */
export interface TensorDescription {
  readonly name: string;
  /** The format's name of the type: F32, BF16, F16, I64 and so on. */
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: number;
}

/** What the header of a safetensors file says. */
export interface TensorList {
  /** In order of name. */
  readonly tensors: readonly TensorDescription[];
  /** Keys and values of "__metadata__". */
  readonly metadata: readonly (readonly [string, string])[];
}

/** A tensor of a safetensors file. */
export interface TensorSource {
  readonly file: string;
  readonly name: string;
}

/** What a low-rank adapter adds to a matrix (out, in): scale B A, with A (r, in) and B (out, r). */
export interface LowRankUpdate {
  readonly a: TensorSource;
  readonly b: TensorSource;
  readonly scale: number;
}

/** A safetensors file made of other files' tensors. */
export interface TensorCopy {
  /** Replaced as a whole or not at all. */
  readonly file: string;
  /** In the order in which they are written. */
  readonly tensors: readonly {
    readonly name: string;
    readonly source: TensorSource;
    /** Numbers are rounded to it, to nearest, ties to even. Omitted: that of the source. */
    readonly type?: "F32" | "BF16" | "F16";
    /** Omitted: the bytes of the source. */
    readonly update?: LowRankUpdate;
  }[];
  readonly metadata: TensorList["metadata"];
}
