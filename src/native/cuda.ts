import { loadAddon } from "./addon.js";
import { SightlineError } from "./errors.js";
import type { CudaFindings } from "./types.js";

/**
 * Asks the CUDA backend what it finds on this machine. Creating an engine on a GPU asks the same and refuses where something
 * is missing, so nobody has to call this first.
 *
 * @throws SightlineError UNSUPPORTED where the library of the backend, or the native module, cannot be loaded
 */
export function probeCuda(): CudaFindings {
  const { module } = loadAddon();
  try {
    return module.probeCuda();
  } catch (error) {
    throw SightlineError.fromNative(error);
  }
}
