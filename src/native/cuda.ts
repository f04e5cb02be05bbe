import { loadAddon, type NativeModule } from "./addon.js";
import { SightlineError } from "./errors.js";
import type { CudaFindings, DeviceName } from "./types.js";

/**
 * Asks the CUDA backend what it finds on this machine. Creating an engine on a GPU asks the same and refuses where something
 * is missing, so nobody has to call this first.
 *
 * @throws SightlineError UNSUPPORTED where the library of the backend, or the native module, cannot be loaded
 */
export function probeCuda(): CudaFindings {
  return ask((module) => module.probeCuda());
}

/**
 * Bytes of a GPU's memory that nobody has taken. What the driver takes for this process is taken before it is asked.
 *
 * @param device  not "cpu"
 * @throws SightlineError UNSUPPORTED where the GPU, or what it needs, is missing
 */
export function freeGpuMemory(device: DeviceName): number {
  return ask((module) => module.freeGpuMemory(device));
}

function ask<Answer>(question: (module: NativeModule) => Answer): Answer {
  const { module } = loadAddon();
  try {
    return question(module);
  } catch (error) {
    throw SightlineError.fromNative(error);
  }
}
