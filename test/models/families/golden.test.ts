import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Checkpoint, readCheckpoint } from "../../../src/models/checkpoint.js";
import { PromptMaker } from "../../../src/models/prompts.js";
import type { Engine } from "../../../src/native/engine.js";
import type { Sequence } from "../../../src/native/types.js";
import { imagePattern, sha256 } from "../../golden/image-pattern.js";
import { temporaryFolder } from "../../train/temporary-folder.js";
import {
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
  relativeError,
  sequencesOf,
} from "./golden-models.js";

describe.each(goldenNames)("the tiny %s, as Transformers has it", (name) => {
  const golden = goldenModel(name);
  let checkpoint: Checkpoint;
  let engine: Engine;
  let sequences: Sequence[];
  beforeAll(async () => {
    ({ checkpoint, engine } = await loadEngine(golden.folder));
    sequences = await sequencesOf(golden);
  });
  afterAll(() => engine?.dispose());

  test("prompts are the processor's tokens and pixel values, to the bit", async () => {
    for (const { text, frames, settings, tokens, pixels } of golden.cases) {
      const maker = new PromptMaker(await readCheckpoint(golden.folder, settings));
      // An observation has at most one image.
      if (frames.length < 2) {
        const frame = frames[0] ? imagePattern(...frames[0]) : null;
        expect([...maker.observation(frame, text).tokens]).toEqual(tokens);
      }
      const images = frames.flatMap((frame) => maker.observation(imagePattern(...frame), text).images);
      expect(images.map((image) => sha256(image.pixels))).toEqual(pixels);
    }
  });

  test("log-probs of responses, and of every token behind a prompt", async () => {
    const { logProbs } = await engine.forward(sequences, { keepTape: false });
    expect(relativeError(logProbs, joined(golden, "log_probs"))).toBeLessThanOrEqual(LOG_PROB_TOLERANCE);
    const prompts = sequences.map(({ prompt }) => prompt);
    const rows = await nextLogProbs(engine, prompts, checkpoint.spec.decoder.vocabularySize);
    for (const [i, row] of rows.entries()) {
      expect(relativeError(row, golden.expected.get(`next.${i}`)!)).toBeLessThanOrEqual(LOG_PROB_TOLERANCE);
    }
  });

  test("a greedy answer of 64 tokens, whose log-probs a forward pass gives again to the bit", async () => {
    const { tokens, gaps } = golden.greedy;
    expect(Math.min(...gaps)).toBeGreaterThan(1e-4);
    const { prompt } = sequences[0]!;
    const answer = await engine.generate({
      prompt,
      sampling: { temperature: 0 },
      randomKey: [0, 0],
      maxNewTokens: tokens.length,
    });
    expect([...answer.tokens]).toEqual(tokens);
    const again = await engine.forward([{ prompt, response: answer.tokens }], { keepTape: false });
    expect(relativeError(again.logProbs, answer.logProbs)).toBe(0);
    expect(again.values[0]).toBe(answer.value);
  });

  test("sampled answers to every prompt at once have the log-probs of a forward pass, to the bit", async () => {
    const answers = await Promise.all(
      sequences.map(({ prompt }, i) =>
        engine.generate({ prompt, sampling: { temperature: 1 }, randomKey: [7, i], maxNewTokens: 20 }),
      ),
    );
    const scores = await engine.forward(
      answers.map(({ tokens }, i) => ({ prompt: sequences[i]!.prompt, response: tokens })),
      { keepTape: false },
    );
    const generated = Float32Array.from(answers.flatMap(({ logProbs }) => [...logProbs]));
    expect(relativeError(scores.logProbs, generated)).toBe(0);
    expect([...scores.values]).toEqual(answers.map(({ value }) => value));
  });

  test("gradients of every parameter", async () => {
    const scores = await engine.forward(sequences);
    const gradientOf = await gradientsOf(engine, scores, joined(golden, "coefficients"), temporaryFolder());
    const errors = gradientErrors(golden, checkpoint, "gradient.", gradientOf);
    expect([...errors.keys()].sort()).toEqual(comparedParameters(engine));
    for (const [parameter, error] of errors) {
      expect(error, parameter).toBeLessThanOrEqual(GRADIENT_TOLERANCE);
    }
  });
});
