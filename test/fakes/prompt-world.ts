import type { Frame } from "../../envs/env.js";
import type { Prompt } from "../../src/native/types.js";
import { type LineInfo, LineWorld, POSITIONS } from "./line-world.js";
import { RecordingPolicy } from "./recording-policy.js";

/** A line world whose prompt tells the state, as the formula of a card game does. */
export class PromptWorld extends LineWorld {
  override prompt({ target, current }: LineInfo): string {
    return `Go from ${current} to ${target}.`;
  }
}

/** Believes the prompt rather than the frame, which it keeps as the image. */
export class PromptReader extends RecordingPolicy {
  override encode({ data }: Frame, prompt: string): Prompt {
    const [current, target] = prompt.match(/\d/g)!.map(Number) as [number, number];
    return {
      tokens: Int32Array.of(target * POSITIONS + current),
      images: [{ pixels: Float32Array.from(data) }],
    };
  }
}

/** The state that a prompt of `PromptReader` tells. */
export function toldState({ tokens }: Prompt): LineInfo {
  return { target: Math.floor(tokens[0]! / POSITIONS), current: tokens[0]! % POSITIONS };
}

/** The state that its image shows. */
export function shownState({ images }: Prompt): LineInfo {
  const [target, current] = images[0]!.pixels;
  return { target: target!, current: current! };
}
