import { availableParallelism } from "node:os";
import { loadAddon } from "./addon.js";
import { SightlineError } from "./errors.js";
import type { TensorCopy, TensorList } from "./tensor-types.js";

/**
 * Reads the header of a safetensors file and checks it against the file's size. The tensors themselves are not read, however large they
 * are.
 *
 * @throws SightlineError IO; FORMAT for a file that breaks the format
 */
export function readTensorList(file: string): Promise<TensorList> {
  return fromNative(() => loadAddon().module.readTensorList(file));
}

/**
 * Writes a safetensors file of other files' tensors: byte for byte, in another type, or W + scale B A computed in fp32 and rounded
 * once.
 * Tensors pass through memory piece by piece.
 *
 * @throws SightlineError IO; FORMAT, which lists all tensors that are missing, misshaped or not of floats; INVALID_ARGUMENT for a name
 *   that comes twice. Then nothing is written
 */
export function copyTensors(copy: TensorCopy): Promise<void> {
  return fromNative(() => loadAddon().module.copyTensors({ ...copy, threads: availableParallelism() }));
}

async function fromNative<Result>(call: () => Promise<Result>): Promise<Result> {
  try {
    return await call();
  } catch (error) {
    throw SightlineError.fromNative(error);
  }
}
