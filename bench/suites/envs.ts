/** Environments without a model: what memory allows, steps, and frames through the image processor. */
import type { Environment, Frame, ResetResult, StepResult } from "../../envs/env.js";
import { Blackjack } from "../../envs/gym-cards/blackjack.js";
import { EZPoints } from "../../envs/gym-cards/ez-points.js";
import { FrameMemory } from "../../envs/gym-cards/frame-memory.js";
import { NumberLine } from "../../envs/gym-cards/number-line.js";
import { Points24 } from "../../envs/gym-cards/points24.js";
import { createFrame, felt } from "../../envs/gym-cards/rendering.js";
import { readCheckpoint } from "../../src/models/checkpoint.js";
import { deriveKey, Random } from "../../src/random.js";
import { modelFolder } from "../../src/train/load-policy.js";
import { packagePath } from "../../src/train/package-path.js";
import { compare, type PeerRequest, rowsOf } from "../comparison.js";
import type { Row } from "../results.js";
import { attempt, type BenchContext, type Suite } from "../suite.js";

/** An environment that answers at once and takes frames back. */
interface Game extends Environment {
  reset(seed: number): ResetResult<unknown>;
  step(action: number): StepResult<unknown>;
  recycle(frame: Frame): void;
}

const games: Readonly<Record<string, () => Game>> = {
  "number-line": () => new NumberLine(),
  "ez-points": () => new EZPoints(),
  points24: () => new Points24(),
  // As the original lays out its cards.
  blackjack: () => new Blackjack({ hiddenFifthCard: true }),
};

const STEPS = 5000;
const FRAMES = 1000;
/** Frames that Pillow draws at least, of whole episodes, for the time of all. */
const PEER_FRAMES = 100;
/**
 * Mean difference of frames, of 255: cards are scaled differently, which the fine pattern of the back shows most (4.4 in all on
 * Blackjack), and fonts come in versions. A Blackjack card that is missing makes some 13.
 */
const LARGEST_DIFFERENCE = 6;

/** Frames that are given back when the next is there, or left to the garbage collector: the second kind needs new memory. */
const fates = ["given-back", "left"] as const;
type Fate = (typeof fates)[number];

export const envs: Suite = async function* (context) {
  for (const fate of fates) {
    const id = `envs/copy/${fate}`;
    if (context.wants(id)) yield* await attempt(id, "frames/s", () => measureCopies(context, id, fate));
  }
  for (const task of Object.keys(games)) {
    for (const fate of fates) {
      const id = fate === "given-back" ? `envs/${task}/steps` : `envs/${task}/steps/${fate}`;
      if (context.wants(id)) yield* await attempt(id, "steps/s", () => measureSteps(context, id, task, fate));
    }
  }
  const frames = "envs/number-line/frames";
  if (context.wants(frames)) yield* await attempt(frames, "frames/s", () => measureFrames(context, frames));
};

/** What to do with each frame: at most two are held at a time. */
function disposal(fate: Fate, recycle: (frame: Frame) => void): (frame: Frame) => void {
  if (fate === "left") return () => {};
  let held: Frame | undefined;
  return (frame) => {
    if (held !== undefined) recycle(held);
    held = frame;
  };
}

/** The ceiling of any environment whose frames are their callers' own: one copy of a frame of 300 x 300. */
async function measureCopies({ repeats, quick }: BenchContext, id: string, fate: Fate): Promise<Row[]> {
  const amount = quick ? STEPS / 10 : STEPS;
  const frames = new FrameMemory();
  const source = createFrame(300, 300, felt);
  const ours = async () => {
    const dispose = disposal(fate, (frame) => frames.takeBack(frame));
    const start = performance.now();
    for (let i = 0; i < amount; i++) dispose(frames.copy(source));
    return (performance.now() - start) / 1000;
  };
  const bytes = amount * source.data.length;
  return rowsOf({ id, unit: "frames/s", amount, bytes }, await compare(ours, [], repeats));
}

/** Uniform random play, episode after episode: every reset and step draws a frame. One core. */
async function measureSteps(context: BenchContext, id: string, task: string, fate: Fate): Promise<Row[]> {
  const amount = context.quick ? STEPS / 10 : STEPS;
  const game = games[task]!();
  const play = (see: (frame: Frame, info: unknown, isStart: boolean) => void) => {
    const random = new Random(deriveKey(1));
    const actions = game.actionSpace.labels.length;
    let seed = 0;
    const start = game.reset(seed);
    see(start.frame, start.info, true);
    for (let step = 0; step < amount; step++) {
      const result = game.step(random.integer(actions));
      see(result.frame, result.info, false);
      if (!result.terminated && !result.truncated) continue;
      const next = game.reset(++seed);
      see(next.frame, next.info, true);
    }
  };
  const ours = async () => {
    const dispose = disposal(fate, (frame) => game.recycle(frame));
    const start = performance.now();
    play(dispose);
    return (performance.now() - start) / 1000;
  };
  // Pillow's sample ends where an episode does: in two tasks most of the work is done at the resets.
  const states: unknown[] = [];
  let last: Frame | undefined;
  let frames = 0;
  let isWhole = false;
  play((frame, info, isStart) => {
    frames += 1;
    isWhole ||= isStart && states.length >= PEER_FRAMES;
    if (isWhole) return;
    states.push(info);
    last = frame;
  });
  const pillow: PeerRequest = {
    supply: context.peers.pillow,
    variant: "as gym_cards draws",
    case: "frames",
    settings: {
      task,
      states,
      frames,
      atlases: packagePath("assets", "gym-cards"),
      folder: context.folder,
    },
    disagreement: ({ frame }) => disagreement(last!, Buffer.from(String(frame), "base64")),
  };
  const bytes = frames * last!.data.length;
  const peers = fate === "given-back" ? [pillow] : [];
  return rowsOf({ id, unit: "steps/s", amount, bytes }, await compare(ours, peers, context.repeats));
}

/** @returns what is wrong with a peer's frame */
function disagreement({ data }: Frame, theirs: Uint8Array): string | undefined {
  if (theirs.length !== data.length) return `${theirs.length} bytes instead of ${data.length}`;
  const sum = data.reduce((total, value, i) => total + Math.abs(value - theirs[i]!), 0);
  const mean = sum / data.length;
  return mean <= LARGEST_DIFFERENCE ? undefined : `frames differ by ${mean.toFixed(2)} of 255 on average`;
}

/** A frame of 300 x 300 to the pixel values of the shipped model. */
async function measureFrames({ repeats, quick }: BenchContext, id: string): Promise<Row[]> {
  const amount = quick ? FRAMES / 10 : FRAMES;
  const { imageProcessor } = await readCheckpoint(modelFolder("tiny-vlm"));
  const { frame } = new NumberLine().reset(0);
  const { pixels } = imageProcessor!.process(frame);
  if (!pixels.every(Number.isFinite)) throw new Error("expected finite pixel values");
  const ours = async () => {
    const start = performance.now();
    for (let i = 0; i < amount; i++) imageProcessor!.process(frame);
    return (performance.now() - start) / 1000;
  };
  const bytes = amount * frame.data.length;
  return rowsOf({ id, unit: "frames/s", amount, bytes }, await compare(ours, [], repeats));
}
