/** What `sightline doctor` looks at: everything a run needs from this machine and this installation. */
import { availableParallelism, freemem } from "node:os";
import { readCheckpoint } from "../models/checkpoint.js";
import { loadAddon } from "../native/addon.js";
import { probeCuda } from "../native/cuda.js";
import { Engine } from "../native/engine.js";
import { SightlineError } from "../native/errors.js";
import type { CpuPath } from "../native/types.js";
import { checkModel, modelFolder } from "./load-policy.js";
import { systemInfo } from "./system-info.js";

export interface Finding {
  readonly name: string;
  /** What was found, or what is missing. */
  readonly value: string;
  /** What to do about it; absent where nothing is wrong. */
  readonly remedy?: string;
}

/** The model that ships and that the default run starts from. */
const MODEL = "tiny-vlm";

/** The oldest Node.js that the package runs on: `engines` in package.json. */
const OLDEST_NODE = [20, 17] as const;

/** Looks at everything, whatever is missing. */
export async function diagnose(): Promise<Finding[]> {
  const { sightline, node, platform, cpu, cores, memoryGb } = systemInfo();
  const nativeModule = nativeModuleFinding();
  const freeGb = (freemem() / 2 ** 30).toFixed(1);
  return [
    { name: "sightline", value: sightline },
    nodeFinding(node),
    { name: "platform", value: platform },
    { name: "processor", value: `${cpu}, ${cores} cores` },
    { name: "memory", value: `${memoryGb} GB, ${freeGb} GB free` },
    { name: "threads", value: `${availableParallelism()}, unless the setting threads says otherwise` },
    nativeModule,
    // Without the module there is nothing to ask.
    ...(nativeModule.remedy === undefined
      ? [
          await attempt("instructions", describeCpuPaths, "build the native module on this machine"),
          cudaFinding(),
        ]
      : []),
    await attempt(
      `model ${MODEL}`,
      async () => {
        await checkModel({ checkpoint: MODEL, weights: "trained" });
        return "complete";
      },
      "install the package again",
    ),
  ];
}

function nodeFinding(version: string): Finding {
  const [major, minor] = version.slice(1).split(".").map(Number) as [number, number];
  const [oldestMajor, oldestMinor] = OLDEST_NODE;
  const isOldEnough = major > oldestMajor || (major === oldestMajor && minor >= oldestMinor);
  return {
    name: "node",
    value: version,
    ...(!isOldEnough && { remedy: `install Node.js ${OLDEST_NODE.join(".")} or later` }),
  };
}

function nativeModuleFinding(): Finding {
  try {
    return { name: "native module", value: loadAddon().file };
  } catch (error) {
    const [problem, ...details] = (error as Error).message.split("\n");
    return { name: "native module", value: problem!, remedy: details.join("\n").trim() };
  }
}

/** The instruction-set paths that an engine can be built for, by building one for each. */
async function describeCpuPaths(): Promise<string> {
  const { spec: model } = await readCheckpoint(modelFolder(MODEL));
  const paths: CpuPath[] = [];
  for (const cpu of ["avx512_bf16", "avx512", "avx2", "portable"] as const) {
    try {
      (await Engine.create({ model, cpu, threads: 1 })).dispose();
      paths.push(cpu);
    } catch (error) {
      if (!(error instanceof SightlineError && error.code === "UNSUPPORTED")) throw error;
    }
  }
  const chosen = process.env.SIGHTLINE_CPU ?? paths[0];
  return `${chosen}, of ${paths.join(", ")}`;
}

/** GPUs are a choice: without the backend's library nothing is wrong; with it, whatever keeps it from working is. */
function cudaFinding(): Finding {
  try {
    const { driverVersion, runtimeVersion, gpus, problems } = probeCuda();
    const versions = `CUDA ${runtimeVersion}, driver for ${driverVersion ?? "none"}`;
    const listed = gpus.map(
      ({ name, computeCapability, memoryBytes }, index) =>
        `cuda:${index} ${name} (compute capability ${computeCapability}, ${(memoryBytes / 2 ** 30).toFixed(0)} GiB)`,
    );
    return {
      name: "cuda",
      value: [...(listed.length > 0 ? listed : ["no GPU"]), versions].join("; "),
      ...(problems.length > 0 && { remedy: problems.join("\n  -> ") }),
    };
  } catch (error) {
    if (!(error instanceof SightlineError && error.code === "UNSUPPORTED")) throw error;
    return { name: "cuda", value: `not usable: ${error.message}` };
  }
}

async function attempt(name: string, describe: () => Promise<string>, remedy: string): Promise<Finding> {
  try {
    return { name, value: await describe() };
  } catch (error) {
    return { name, value: (error as Error).message, remedy };
  }
}
