import { existsSync } from "node:fs";
import path from "node:path";
import { testingAddonFile } from "./testing-addon.js";

const folder = path.dirname(testingAddonFile);
const suffix = process.platform === "darwin" ? "dylib" : "so";
const library = path.join(folder, `libsightline_cuda_emulated.${suffix}`);

/** Empty, or why tests on the emulated GPU cannot run: the end of their title. */
export const withoutCuda = existsSync(library)
  ? ""
  : " (skipped: there was no nvcc to compile the CUDA backend)";

/** From here on this process finds the CUDA backend as it was built for the emulator, and the emulator as its cuBLASLt. */
export function useEmulatedCuda(): void {
  process.env.SIGHTLINE_CUDA_LIBRARY = library;
  process.env.SIGHTLINE_CUBLASLT = path.join(folder, `libsightline_emulator.${suffix}`);
}
