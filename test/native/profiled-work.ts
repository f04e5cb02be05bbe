import type { Engine } from "../../src/native/engine.js";
import type { Completion, ForwardResult, StepResult } from "../../src/native/types.js";
import { everything, prompt, request, sequence } from "./tiny-engine.js";

/** The results of `workOnEverything`, without the number of the tape. */
export interface CompletedWork {
  completions: Completion[];
  before: Omit<ForwardResult, "tape">;
  stepped: StepResult;
  after: Omit<ForwardResult, "tape">;
}

/** Calls everything that computes: answers, scores, a gradient, a step. */
export async function workOnEverything(engine: Engine): Promise<CompletedWork> {
  const completions = await Promise.all(
    [0, 1, 2].map((i) => engine.generate(request({ randomKey: [i, 7], prompt: prompt([3, 4 + i]) }))),
  );
  const batch = [sequence(5), sequence(9, [6, 7])];
  const { tape, ...before } = await engine.forward(batch, { entropies: true });
  const logProbs = Float32Array.from(before.logProbs, (_, i) => Math.cos(i));
  await engine.backward({ ...before, tape }, { logProbs, values: Float32Array.of(1, -1) });
  const stepped = await engine.step({ groups: [everything] });
  const { tape: _, ...after } = await engine.forward(batch, { entropies: true });
  return { completions, before, stepped, after };
}
