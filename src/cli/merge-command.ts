/** `sightline merge`: a model and an adapter become one model. */
import type { Command } from "commander";
import { modelFolder } from "../train/load-policy.js";
import { mergeAdapter } from "../train/merge-adapter.js";
import type { CliContext } from "./context.js";

/** Adds the command. */
export function addMergeCommand(program: Command, { stdout }: CliContext): void {
  program
    .command("merge")
    .description("write a model whose weights have an adapter added to them")
    .argument("<base>", "folder of the model that the adapter is for")
    .argument(
      "<adapter>",
      "folder with adapter_config.json and adapter_model.safetensors, of a run or from PEFT",
    )
    .requiredOption("--out <folder>", "the new model's folder; it must not exist yet")
    .action(async (base: string, adapter: string, { out }: { out: string }) => {
      const { updated, replaced, copied, bytes } = await mergeAdapter(modelFolder(base), adapter, out);
      const others = replaced === 0 ? "" : `, ${replaced} taken from the run`;
      stdout.write(
        `${out}: ${updated} matrices with the adapter added${others}, ${copied} tensors as they were, ${(bytes / 1e9).toFixed(2)} GB\n`,
      );
    });
}
