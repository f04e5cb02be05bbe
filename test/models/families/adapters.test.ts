import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readCheckpoint } from "../../../src/models/checkpoint.js";
import { readTensorList } from "../../../src/native/tensor-files.js";
import { VlmPolicy } from "../../../src/policy/vlm-policy.js";
import { readSafetensors } from "../../golden/safetensors.js";
import { temporaryFolder } from "../../train/temporary-folder.js";
import {
  adapterFolder,
  comparedParameters,
  GRADIENT_TOLERANCE,
  goldenModel,
  goldenNames,
  gradientErrors,
  gradientsOf,
  joined,
  LOG_PROB_TOLERANCE,
  loadEngine,
  nextLogProbs,
  parameterOf,
  relativeError,
  sequencesOf,
} from "./golden-models.js";

/** What is not adapted stays as it is. */
const frozen = { vision: "frozen", projector: "frozen", decoder: "frozen" } as const;

const adapterWeights = "adapter_model.safetensors";

describe.each(goldenNames)("an adapter that PEFT has saved for the tiny %s", (name) => {
  const golden = goldenModel(name);

  test("gives PEFT's log-probs and gradients", async () => {
    const scratch = temporaryFolder();
    const { checkpoint, engine } = await loadEngine(adapterFolder(golden, scratch), { trainable: frozen });
    try {
      const sequences = await sequencesOf(golden);
      const scores = await engine.forward(sequences);
      const reference = joined(golden, "adapter.log_probs");
      expect(relativeError(scores.logProbs, reference)).toBeLessThanOrEqual(LOG_PROB_TOLERANCE);
      // It makes a difference.
      expect(relativeError(joined(golden, "log_probs"), reference)).toBeGreaterThan(0.01);

      const prompts = sequences.slice(0, 1).map(({ prompt }) => prompt);
      const [row] = await nextLogProbs(engine, prompts, checkpoint.spec.decoder.vocabularySize);
      const expectedRow = golden.expected.get("adapter.next.0")!;
      expect(relativeError(row!, expectedRow)).toBeLessThanOrEqual(LOG_PROB_TOLERANCE);

      const gradientOf = await gradientsOf(engine, scores, joined(golden, "coefficients"), scratch);
      const errors = gradientErrors(golden, checkpoint, "adapter.gradient.", gradientOf);
      expect([...errors.keys()].sort()).toEqual(comparedParameters(engine));
      for (const [parameter, error] of errors) {
        expect(error, parameter).toBeLessThanOrEqual(GRADIENT_TOLERANCE);
      }
    } finally {
      engine.dispose();
    }
  });

  test("is saved again to the bit, for the modules that PEFT has it for", async () => {
    const scratch = temporaryFolder();
    const save = async (from: string, to: string) => {
      const policy = await VlmPolicy.load(from, { threads: 2, trainable: frozen });
      try {
        await policy.saveCheckpoint(to);
      } finally {
        policy.dispose();
      }
      return readFileSync(join(to, adapterWeights));
    };
    const ours = join(scratch, "ours");
    const once = await save(adapterFolder(golden, scratch), ours);
    const twice = await save(ours, join(scratch, "again"));
    expect(twice.equals(once)).toBe(true);

    const checkpoint = await readCheckpoint(ours);
    const byParameter = async (folder: string) => {
      const file = join(folder, adapterWeights);
      const values = readSafetensors(file);
      const { tensors } = await readTensorList(file);
      return new Map(
        tensors.map(({ name, shape }) => [
          parameterOf(checkpoint, name),
          { shape, values: values.get(name) },
        ]),
      );
    };
    expect(await byParameter(ours)).toEqual(await byParameter(join(golden.folder, "adapter")));
    const config = JSON.parse(readFileSync(join(ours, "adapter_config.json"), "utf8"));
    expect(config).toMatchObject({ r: 4, lora_alpha: 6, peft_type: "LORA" });
  });
});
