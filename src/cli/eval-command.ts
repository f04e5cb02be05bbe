/** `sightline eval`: a checkpoint on the held-out panel. */
import { type Command, Option } from "commander";
import type { DeviceName, Precision } from "../native/types.js";
import type { PolicyConfig } from "../train/load-policy.js";
import { evaluationUse, requireMemory } from "../train/memory-check.js";
import { evaluateGreedy, evaluateReferences, evaluateSampled } from "../train/panels.js";
import { publishedPanels } from "../train/published-panels.js";
import { findTask, taskNames } from "../train/tasks.js";
import type { CliContext } from "./context.js";
import { integer, positive } from "./options.js";
import { formatScores } from "./score-table.js";

interface EvalFlags {
  readonly task: string;
  readonly actionOnly?: true;
  readonly episodes?: number;
  readonly seed?: number;
  readonly temperature: number;
  readonly maxNewTokens: number;
  readonly device: DeviceName;
  readonly threads?: number;
  readonly precision: Precision;
  readonly json?: true;
}

/** Adds the command. @param finish takes the exit code */
export function addEvalCommand(
  program: Command,
  context: CliContext,
  finish: (exitCode: number) => void,
): void {
  program
    .command("eval")
    .description(
      "play a fixed panel of held-out episodes, sampled and greedy, with 95 % confidence intervals",
    )
    .argument("<checkpoint>", "a model folder, e.g. runs/number-line-seed1/checkpoints/best, or tiny-vlm")
    .option("--task <name>", `environment: ${taskNames.join(", ")}`, "number-line")
    .option("--action-only", "prompts ask for the action alone, as a run's with thoughts=false")
    .option("--episodes <n>", "size of the panel (default: the task's published one)", integer(1))
    .option("--seed <n>", "fixes the panel (default: the task's published one)", integer(0, 0xffffffff))
    .option("--temperature <t>", "of the sampled episodes", positive, 0.5)
    .option("--max-new-tokens <n>", "longest response", integer(1), 96)
    .option("--device <name>", "where the model computes: cpu, cuda, cuda:1, ...", "cpu")
    .option(
      "--threads <n>",
      "threads of the engine on the CPU; results do not depend on it (default: all cores)",
      integer(1),
    )
    .addOption(
      new Option("--precision <type>", "how the engine computes and stores")
        .choices(["fp32", "bf16"])
        .default("fp32"),
    )
    .option("--json", "print the scores as JSON")
    .action(async (checkpoint: string, flags: EvalFlags) => {
      finish(await evaluateCheckpoint(checkpoint, flags, context));
    });
}

async function evaluateCheckpoint(
  checkpoint: string,
  flags: EvalFlags,
  { stdout, loadPolicy }: CliContext,
): Promise<number> {
  const { temperature, maxNewTokens, device, threads, precision, json } = flags;
  const task = findTask(flags.task);
  const published = publishedPanels[task.name]!;
  const { episodes = published.episodes, seed = published.seed } = flags;
  const config: PolicyConfig = {
    model: { checkpoint, weights: "trained", frozen: ["vision", "projector", "decoder"] },
    seed,
    device,
    precision,
    activationCheckpointing: false,
    threads,
  };
  await requireMemory(config, task, evaluationUse({ episodes, maxNewTokens, precision }));
  const policy = await loadPolicy(config);
  try {
    const thoughts = flags.actionOnly !== true;
    const panel = { makeEnvironment: () => task.makeEnvironment({ thoughts }), episodes, seed };
    const { score: sampled } = await evaluateSampled(policy, panel, {
      sampling: { temperature },
      maxNewTokens,
    });
    const greedy = await evaluateGreedy(policy, panel, { maxNewTokens });
    const { random, expert, optimal } = await evaluateReferences(panel, task.makeExpert?.({ thoughts }));
    const scores = { sampled, greedy, random, expert, optimal };
    if (json) {
      const result = {
        checkpoint,
        task: task.name,
        thoughts,
        seed,
        temperature,
        maxNewTokens,
        device,
        precision,
        ...scores,
      };
      stdout.write(`${JSON.stringify(result, undefined, 2)}\n`);
    } else {
      stdout.write(`${episodes} episodes of ${task.name}, panel ${seed}\n${formatScores(scores)}\n`);
    }
    return 0;
  } finally {
    policy.dispose();
  }
}
