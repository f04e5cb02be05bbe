import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { SightlineError } from "./errors.js";
import type { TensorCopy, TensorList } from "./tensor-types.js";
import type {
  ByteImage,
  Completion,
  CpuPath,
  CudaFindings,
  EngineOptions,
  ForwardOptions,
  ForwardResult,
  GenerateRequest,
  ImageSize,
  LoadSource,
  MemoryUse,
  OptimizerStep,
  OutputGradient,
  ParameterInfo,
  PeakOptions,
  Peaks,
  Profile,
  ResampleFilter,
  SaveTarget,
  Sequence,
  StepResult,
} from "./types.js";

/** A call that can be cancelled while its promise is pending. */
export interface NativeCall<Result> {
  readonly id: number;
  readonly promise: Promise<Result>;
}

/**
 * The engine as the native module exposes it. Methods throw plain errors with a `code`, or reject with them;
 * `Engine` is what everybody else uses.
 */
export interface NativeEngine {
  /** The request is held back until `releaseRequests` or any other call, so that requests made together start together. */
  generate(request: GenerateRequest): NativeCall<Completion>;
  releaseRequests(): void;
  forward(batch: readonly Sequence[], options: ForwardOptions): NativeCall<ForwardResult>;
  /** Ends a call of `generate`, or of `forward` if it has not begun, with code ABORTED. */
  cancel(id: number): void;
  backward(forward: ForwardResult, gradient: OutputGradient): Promise<void>;
  step(step: OptimizerStep): Promise<StepResult>;
  save(target: SaveTarget): Promise<void>;
  load(source: LoadSource): Promise<void>;
  /** Rejects with INVALID_ARGUMENT while a profile is being taken. */
  startProfile(): Promise<void>;
  stopProfile(): Promise<Profile>;
  memory(): MemoryUse;
  parameters(): ParameterInfo[];
  dispose(): void;
}

export interface NativeModule {
  createEngine(options: EngineOptions & { threads: number }): Promise<NativeEngine>;
  measurePeaks(options: PeakOptions & { threads: number }): Promise<Peaks>;
  /** (size.height, size.width, image.channels); every path gives the same bytes. */
  resizeImage(image: ByteImage, size: ImageSize, filter: ResampleFilter, cpu?: CpuPath): Uint8Array;
  /** Rejects with IO, FORMAT. */
  readTensorList(file: string): Promise<TensorList>;
  /** Rejects with IO, FORMAT, INVALID_ARGUMENT. */
  copyTensors(copy: TensorCopy & { threads: number }): Promise<void>;
  /** Throws UNSUPPORTED where the library of the CUDA backend cannot be opened. */
  probeCuda(): CudaFindings;
  /** Throws UNSUPPORTED where the GPU cannot be used. */
  freeGpuMemory(device: string): number;
}

/** The native module and the file that it came from. */
export interface Addon {
  readonly module: NativeModule;
  readonly file: string;
}

/** One way to find the module's file. */
interface Search {
  readonly description: string;
  readonly find: () => string;
  readonly remedy: string;
}

const require = createRequire(import.meta.url);

/** The package's folder: the nearest one above this file (in src/ or dist/src/) whose package.json is ours. */
function findPackageRoot(): string {
  for (let folder = import.meta.dirname; ; folder = path.dirname(folder)) {
    const manifest = path.join(folder, "package.json");
    if (existsSync(manifest) && JSON.parse(readFileSync(manifest, "utf8")).name === "sightline")
      return folder;
    if (folder === path.dirname(folder)) {
      throw new SightlineError(
        "INTERNAL",
        `${import.meta.dirname}: expected to lie in the package sightline`,
      );
    }
  }
}

/**
 * How the module is looked for. What an environment variable asks for is never replaced by something else: a
 * test of one build must not run another.
 */
function chooseSearch(root: string): Search {
  const { SIGHTLINE_ADDON: file, SIGHTLINE_BUILD_CONFIG: config } = process.env;
  if (file) {
    return {
      description: `SIGHTLINE_ADDON=${file}`,
      find: () => path.resolve(file),
      remedy: "let SIGHTLINE_ADDON name a .node file that was built for this system, or unset it",
    };
  }
  if (config) {
    return {
      description: `SIGHTLINE_BUILD_CONFIG=${config}`,
      find: () =>
        require("bindings")({
          bindings: "sightline",
          module_root: root,
          path: true,
          try: [
            ["module_root", "build", config, "bindings"],
            ["module_root", `build-${config}`, "Release", "bindings"],
          ],
        }),
      remedy: `build it with "npx cmake-js build --config ${config}", or unset SIGHTLINE_BUILD_CONFIG`,
    };
  }
  return {
    description: `build/Release and prebuilds in ${root}`,
    find: () => require("node-gyp-build").path(root),
    remedy:
      `build it with "SIGHTLINE_BUILD_FROM_SOURCE=1 node ${path.join(root, "scripts", "install.mjs")}", ` +
      "which needs a C++20 compiler and CMake",
  };
}

let loaded: Addon | undefined;

/**
 * Loads the native module, once: the file that `SIGHTLINE_ADDON` names; else of the build that
 * `SIGHTLINE_BUILD_CONFIG` names (`Debug`: build/Debug, `asan`: build-asan/Release); else build/Release or a
 * prebuilt one.
 *
 * @throws SightlineError UNSUPPORTED, which says where it looked, why that failed, and what to do
 */
export function loadAddon(): Addon {
  if (!loaded) {
    const { description, find, remedy } = chooseSearch(findPackageRoot());
    let file: string | undefined;
    try {
      file = find();
      loaded = { module: require(file), file };
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message.trim() : String(cause);
      throw new SightlineError(
        "UNSUPPORTED",
        `the native module cannot be loaded\n  looked for: ${description}\n  found: ${file ?? "nothing"}\n` +
          `  reason: ${reason}\n  remedy: ${remedy}`,
        { cause },
      );
    }
  }
  return loaded;
}
