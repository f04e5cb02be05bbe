import { availableParallelism } from "node:os";
import { loadAddon } from "./addon.js";
import { SightlineError } from "./errors.js";
import type { PeakOptions, Peaks } from "./types.js";

/**
 * Measures the roof over what an engine with the same options can do: each peak is the best of many short windows
 * on all threads at once. Takes about a second and, for its duration, 32 MiB of memory per thread, at least 256 MiB.
 * Other work on the machine lowers the figures, so compare with them only what was measured in the same minute.
 *
 * @throws SightlineError INVALID_ARGUMENT, OUT_OF_MEMORY; UNSUPPORTED where the CPU lacks the path asked for or the
 *   native module cannot be loaded
 */
export async function measurePeaks(options: PeakOptions = {}): Promise<Peaks> {
  const { module } = loadAddon();
  try {
    return await module.measurePeaks({ ...options, threads: options.threads ?? availableParallelism() });
  } catch (error) {
    throw SightlineError.fromNative(error);
  }
}
