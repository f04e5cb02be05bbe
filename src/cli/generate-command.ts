/** `sightline generate`: what a model answers. */
import { type Command, Option } from "commander";
import type { DeviceName, Precision } from "../native/types.js";
import { answerPrompt } from "../train/answer-prompt.js";
import type { CliContext } from "./context.js";
import { integer, notNegative } from "./options.js";

interface GenerateFlags {
  readonly prompt: string;
  readonly image?: string;
  readonly maxNewTokens: number;
  readonly temperature: number;
  readonly seed: number;
  readonly precision: Precision;
  readonly device: DeviceName;
  readonly threads?: number;
  readonly json?: true;
}

/** Adds the command. */
export function addGenerateCommand(program: Command, { stdout }: CliContext): void {
  program
    .command("generate")
    .description("answer a prompt, with an image where the model takes one")
    .argument("<checkpoint>", "a model folder, or a run's checkpoint")
    .requiredOption("--prompt <text>", "what to answer")
    .option("--image <file>", "a PNG file")
    .option("--max-new-tokens <n>", "longest answer", integer(1), 256)
    .option("--temperature <t>", "of sampling; 0 takes the most likely token each time", notNegative, 0)
    .option("--seed <n>", "fixes what is sampled", integer(0, 0xffffffff), 1)
    .addOption(
      new Option("--precision <type>", "how the engine computes and stores")
        .choices(["fp32", "bf16"])
        .default("fp32"),
    )
    .option("--device <name>", "where the model computes: cpu, cuda, cuda:1, ...", "cpu")
    .option("--threads <n>", "threads of the engine on the CPU (default: all cores)", integer(1))
    .option("--json", "print the answer with its tokens and their log-probs as JSON")
    .action(async (checkpoint: string, { json, ...flags }: GenerateFlags) => {
      const answer = await answerPrompt({ checkpoint, ...flags });
      const { text, finishReason, promptTokens, tokens, logProbs } = answer;
      const result = { text, finishReason, promptTokens, tokens: [...tokens], logProbs: [...logProbs] };
      stdout.write(`${json ? JSON.stringify(result, undefined, 2) : text}\n`);
    });
}
