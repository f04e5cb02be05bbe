/** Environments without a model: steps, and frames through the image processor. */
import { NumberLine } from "../../envs/gym-cards/number-line.js";
import { readCheckpoint } from "../../src/models/checkpoint.js";
import { modelFolder } from "../../src/train/load-policy.js";
import { compare, rowsOf } from "../comparison.js";
import type { Row } from "../results.js";
import { attempt, type BenchContext, type Suite } from "../suite.js";

const STEPS = 5000;
const FRAMES = 1000;

export const envs: Suite = async function* (context) {
  const steps = "envs/number-line/steps";
  const frames = "envs/number-line/frames";
  if (context.wants(steps)) yield* await attempt(steps, "steps/s", () => measureSteps(context, steps));
  if (context.wants(frames)) yield* await attempt(frames, "frames/s", () => measureFrames(context, frames));
};

/** Optimal play, episode after episode: every step renders a frame. Checked by the outcome of each episode. */
async function measureSteps({ repeats, quick }: BenchContext, id: string): Promise<Row[]> {
  const amount = quick ? STEPS / 10 : STEPS;
  const environment = new NumberLine();
  const ours = async () => {
    const start = performance.now();
    let seed = 0;
    let { info } = environment.reset(seed);
    for (let step = 0; step < amount; step++) {
      const result = environment.step(environment.optimalActions(info)[0]!);
      info = result.info;
      if (!result.terminated) continue;
      if (result.reward !== 1) throw new Error(`expected reward 1 at the target, received ${result.reward}`);
      ({ info } = environment.reset(++seed));
    }
    return (performance.now() - start) / 1000;
  };
  return rowsOf({ id, unit: "steps/s", amount }, await compare(ours, [], repeats));
}

/** A frame of 300 x 300 to the pixel values of the shipped model. */
async function measureFrames({ repeats, quick }: BenchContext, id: string): Promise<Row[]> {
  const amount = quick ? FRAMES / 10 : FRAMES;
  const { imageProcessor } = await readCheckpoint(modelFolder("tiny-vlm"));
  const { frame } = new NumberLine().reset(0);
  const { pixels } = imageProcessor.process(frame);
  if (!pixels.every(Number.isFinite)) throw new Error("expected finite pixel values");
  const ours = async () => {
    const start = performance.now();
    for (let i = 0; i < amount; i++) imageProcessor.process(frame);
    return (performance.now() - start) / 1000;
  };
  const bytes = amount * frame.data.length;
  return rowsOf({ id, unit: "frames/s", amount, bytes }, await compare(ours, [], repeats));
}
