/** `sightline plan`: what a run will take on GPUs, before it starts. */
import type { Command } from "commander";
import { gpus } from "../train/gpus.js";
import { planRun, type RunPlan } from "../train/plan-run.js";
import { resolveConfig } from "../train/resolve-config.js";
import type { CliContext } from "./context.js";
import { collect, integer } from "./options.js";
import { formatTable } from "./table.js";

interface PlanFlags {
  readonly gpu: string;
  readonly gpus: number;
  readonly promptTokens?: number;
  readonly responseTokens?: number;
  readonly set: readonly string[];
  readonly json?: true;
}

/** Adds the command. A plan that does not fit ends with exit code 1. */
export function addPlanCommand(
  program: Command,
  context: CliContext,
  finish: (exitCode: number) => void,
): void {
  program
    .command("plan")
    .description("count the memory that a run will take on each GPU, and the least time of its phases")
    .argument("<config>", "a preset, or a .yaml, .yml or .json file, which may extend one")
    .option("--gpu <name>", `one of ${Object.keys(gpus).join(", ")}`, "a100-80g")
    .option("--gpus <n>", "number of GPUs", integer(1), 1)
    .option("--prompt-tokens <n>", "tokens of a prompt, image tokens included", integer(1))
    .option("--response-tokens <n>", "tokens of a response (default: ppo.maxNewTokens)", integer(1))
    .option(
      "--set <key=value>",
      "change a setting, e.g. --set ppo.microbatchSize=2; may be repeated",
      collect,
      [],
    )
    .option("--json", "print JSON")
    .addHelpText("after", "\nNo GPU and no weights are needed: the engine counts instead of computing.")
    .action(async (source: string, { set, json, gpus: gpuCount, ...flags }: PlanFlags) => {
      const planned = await planRun(resolveConfig(source, set), { ...flags, gpuCount });
      context.stdout.write(`${json ? JSON.stringify(planned, undefined, 2) : formatPlan(source, planned)}\n`);
      finish(planned.plan.fits ? 0 : 1);
    });
}

function formatPlan(source: string, { plan, work, gpu, gpuCount }: RunPlan): string {
  const { rollout, update } = plan;
  const purposes = [
    "weights",
    "adapter",
    "gradients",
    "optimizer",
    "activations",
    "kv_cache",
    "workspace",
  ] as const;
  const memory = formatTable([
    ["memory per GPU, GB", "rollout", "update"],
    ...purposes.map((purpose) => [purpose, gigabytes(rollout[purpose]), gigabytes(update[purpose])]),
    ["at the fullest moment", gigabytes(rollout.total), gigabytes(update.total)],
    ["driver and libraries (estimate)", gigabytes(plan.reservedBytes), gigabytes(plan.reservedBytes)],
    ["total", gigabytes(rollout.total + plan.reservedBytes), gigabytes(update.total + plan.reservedBytes)],
  ]);
  const phases = formatTable([
    ["per iteration and GPU", "TFLOP fp32", "TFLOP bf16", "GB memory", "GB links", "floor, s"],
    ...plan.phases.map(({ name, flops, bf16Flops, bytes, linkBytes, floorSeconds }) => [
      name,
      (flops / 1e12).toFixed(1),
      (bf16Flops / 1e12).toFixed(1),
      gigabytes(bytes),
      gigabytes(linkBytes),
      floorSeconds.toPrecision(3),
    ]),
    [
      "sum",
      "",
      "",
      "",
      "",
      plan.phases.reduce((sum, { floorSeconds }) => sum + floorSeconds, 0).toPrecision(3),
    ],
  ]);
  const largest = Math.max(rollout.total, update.total) + plan.reservedBytes;
  const verdict = plan.fits
    ? `fits: ${gigabytes(largest)} of ${gigabytes(plan.budgetBytes)} GB`
    : `does not fit: ${gigabytes(largest)} GB on a GPU of ${gigabytes(plan.budgetBytes)} GB; try a smaller ` +
      "ppo.microbatchSize, activationCheckpointing=true, or fewer environments";
  return [
    `${source} on ${gpuCount} x ${gpu.description}: ${(plan.trainedParameters / 1e6).toFixed(1)} M parameters trained`,
    `${work.decisions} decisions per GPU and iteration in ${work.environments} environments, ${work.epochs} epochs, ` +
      `${work.microbatchSize} per forward pass; prompts of ${work.promptTokens} and responses of ${work.responseTokens} tokens`,
    "",
    memory,
    "",
    phases,
    `A floor is what the arithmetic or the memory needs at the GPU's peaks (${gpu.source}), whichever is longer, op by op.`,
    "",
    verdict,
  ].join("\n");
}

const gigabytes = (bytes: number): string => (bytes / 1e9).toFixed(2);
