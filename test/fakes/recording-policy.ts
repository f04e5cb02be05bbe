import type { ForwardResult, OptimizerStep, OutputGradient, Sequence } from "../../src/native/types.js";
import { TabularPolicy } from "./tabular-policy.js";

export interface Call {
  readonly sequences: readonly Sequence[];
  readonly scores: ForwardResult;
  readonly gradient: OutputGradient;
}

/** Keeps what the algorithm asked of it. */
export class RecordingPolicy extends TabularPolicy {
  readonly calls: Call[] = [];
  readonly steps: OptimizerStep[] = [];
  #scored: readonly Sequence[] = [];

  override score(...args: Parameters<TabularPolicy["score"]>): Promise<ForwardResult> {
    [this.#scored] = args;
    return super.score(...args);
  }

  override backward(scores: ForwardResult, gradient: OutputGradient): Promise<void> {
    this.calls.push({ sequences: this.#scored, scores, gradient });
    return super.backward(scores, gradient);
  }

  override step(step: OptimizerStep): ReturnType<TabularPolicy["step"]> {
    this.steps.push(step);
    return super.step(step);
  }
}
