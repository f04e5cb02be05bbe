import { expect, test } from "vitest";
import { useEmulatedCuda, withoutCuda } from "../../emulated-cuda.js";
import { temporaryFolder } from "../../train/temporary-folder.js";
import {
  type GoldenName,
  GRADIENT_TOLERANCE,
  goldenModel,
  gradientErrors,
  gradientsOf,
  joined,
  LOG_PROB_TOLERANCE,
  loadEngine,
  relativeError,
  sequencesOf,
} from "./golden-models.js";

if (withoutCuda === "") useEmulatedCuda();

// One of each kind of vision encoder, and what neither has: tiles with newlines, biases of queries.
test.skipIf(withoutCuda !== "").each<GoldenName>(["llava-next", "smolvlm", "qwen2", "qwen2-5-vl"])(
  `the tiny %s has Transformers' log-probs and gradients on the emulated GPU${withoutCuda}`,
  async (name) => {
    const golden = goldenModel(name);
    const { checkpoint, engine } = await loadEngine(golden.folder, { device: "cuda" });
    try {
      const scores = await engine.forward(await sequencesOf(golden));
      expect(relativeError(scores.logProbs, joined(golden, "log_probs"))).toBeLessThanOrEqual(
        LOG_PROB_TOLERANCE,
      );
      const gradientOf = await gradientsOf(engine, scores, joined(golden, "coefficients"), temporaryFolder());
      for (const [parameter, error] of gradientErrors(golden, checkpoint, "gradient.", gradientOf)) {
        expect(error, parameter).toBeLessThanOrEqual(GRADIENT_TOLERANCE);
      }
    } finally {
      engine.dispose();
    }
  },
);
