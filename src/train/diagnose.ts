/** What `sightline doctor` looks at: everything a run needs from this machine and this installation. */
import { freemem } from "node:os";
import { checkModel } from "./load-policy.js";
import { systemInfo } from "./system-info.js";

export interface Finding {
  readonly name: string;
  /** What was found, or what is missing. */
  readonly value: string;
  /** What to do about it; absent where nothing is wrong. */
  readonly remedy?: string;
}

/** The oldest Node.js that the package runs on: `engines` in package.json. */
const OLDEST_NODE = [20, 17] as const;

/** Looks at everything, whatever is missing. */
export async function diagnose(): Promise<Finding[]> {
  const { sightline, node, platform, cpu, cores, memoryGb } = systemInfo();
  const freeGb = (freemem() / 2 ** 30).toFixed(1);
  return [
    { name: "sightline", value: sightline },
    nodeFinding(node),
    { name: "platform", value: platform },
    { name: "processor", value: `${cpu}, ${cores} cores` },
    { name: "memory", value: `${memoryGb} GB, ${freeGb} GB free` },
    await modelFinding("tiny-vlm"),
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

async function modelFinding(name: string): Promise<Finding> {
  try {
    await checkModel({ checkpoint: name, weights: "trained" });
    return { name: `model ${name}`, value: "complete" };
  } catch (error) {
    return { name: `model ${name}`, value: (error as Error).message, remedy: "install the package again" };
  }
}
