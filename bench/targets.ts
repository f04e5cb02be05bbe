/**
 * What the CPU engine is to reach, on medians of at least five interleaved repeats with two threads on a quiet
 * machine.
 */
import type { Results, Row } from "./results.js";
import { geometricMean } from "./statistics.js";

/** One target over the rows that it selects. */
export interface Target {
  /** A sentence for the results page. */
  readonly title: string;
  /** Selects rows by id. */
  readonly rows: RegExp;
  /** Selects rows by peer; omitted: the measurement's own figure counts, whatever it was compared with. */
  readonly peer?: RegExp;
  /** `ratio` to the peer, `percentOfPeak`, or the `value` itself. */
  readonly figure: "ratio" | "percentOfPeak" | "value";
  /** Whether every selected row must reach it, or their geometric mean. */
  readonly over: "every row" | "geometric mean";
  /** The smallest figure that meets the target; for one that must not be exceeded, `atMost`. */
  readonly atLeast?: number;
  readonly atMost?: number;
  /** Why it is missed, where it is and the cause is known: printed with the shortfall only. */
  readonly shortfall?: string;
}

/** Causes as far as `sightline profile` and single measurements showed them. */
const causes = {
  step:
    "Three quarters of the step are products, in which oneDNN is as quick as ours (`ops/matmul/training`); the rest is attention, " +
    "whose weighted sums are fp32, and work that memory bounds. Others on the same processor count too: on Zen 5 their busy minutes " +
    "cost our step of either precision 30 % more time, PyTorch's 8 to 19 %.",
  tiny:
    "Others on the same processor count: on Zen 5 the fp32 step takes 48 ms in quiet minutes and 76 in busy ones, PyTorch's eager " +
    "one 153 to 183.",
  decode:
    "With 32 sequences weights (27 MB in fp32) and KV cache (61 MB on average) are larger than the processor's caches and come from " +
    "memory at every step, 1.6 ms at 54 GB/s, while 8x compiled PyTorch asks for a step in 0.95 ms; in bf16 0.8 of 1.1 ms. Attention " +
    "reads its part at two thirds of the memory's speed, and fetching it ahead changes nothing. With fewer sequences the weights come " +
    "from the shared cache at its speed: 10x asks for 152 GB/s of fp32 weights at batch 1.",
  weights:
    "Products, which read the weights, are 88 % of a step; the others are attention, sampling from 49 152 tokens, and what the engine " +
    "does between 300 small ops.",
  memory:
    "fp32 master weights, their gradients and moments take 16 bytes a parameter on either side: 104 MiB of the 6.8 M decoder, 2.5 GiB " +
    "of the 135 M decoder, which is more than half of what PyTorch holds. Ours adds a packed copy of the weights.",
} as const;

const everyRatio = { figure: "ratio", over: "every row" } as const;

export const targets: readonly Target[] = [
  ...(["fp32", "bf16"] as const).map(
    (precision): Target => ({
      title: `Training products in ${precision} with packed weights: 0.97x oneDNN's packed, geometric mean`,
      rows: new RegExp(`^ops/matmul/training/${precision}/`),
      peer: /packed/,
      figure: "ratio",
      over: "geometric mean",
      atLeast: 0.97,
    }),
  ),
  {
    title: "Products with at most 8 rows: 1.5x PyTorch's linear, geometric mean",
    rows: /^ops\/matmul\/decode\/\w+\/[18]x/,
    peer: /linear/,
    figure: "ratio",
    over: "geometric mean",
    atLeast: 1.5,
  },
  {
    ...everyRatio,
    title: "Training step, decoder-7m, fp32: 1.4x eager fp32",
    shortfall: causes.step,
    rows: /^train-step\/decoder-7m\/fp32$/,
    peer: /eager fp32/,
    atLeast: 1.4,
  },
  {
    ...everyRatio,
    title: "Training step, decoder-7m, bf16: 2.5x eager fp32",
    shortfall: causes.step,
    rows: /^train-step\/decoder-7m\/bf16$/,
    peer: /eager fp32/,
    atLeast: 2.5,
  },
  {
    ...everyRatio,
    title: "Training step, decoder-7m, bf16: 1.5x PyTorch's best bf16",
    shortfall: causes.step,
    rows: /^train-step\/decoder-7m\/bf16$/,
    peer: /bf16$/,
    atLeast: 1.5,
  },
  ...(
    [
      ["fp32", 70],
      ["bf16", 65],
    ] as const
  ).map(
    ([precision, percent]): Target => ({
      title: `Training step, decoder-7m, ${precision}: ${percent} % of the ${precision} peak`,
      shortfall: causes.step,
      rows: new RegExp(`^train-step/decoder-7m/${precision}$`),
      figure: "percentOfPeak",
      over: "every row",
      atLeast: percent,
    }),
  ),
  ...(["fp32", "bf16"] as const).flatMap((precision): Target[] => [
    {
      ...everyRatio,
      title: `Training step, tiny-vlm, ${precision}: 3x eager ${precision}`,
      shortfall: causes.tiny,
      rows: new RegExp(`^train-step/tiny-vlm/${precision}$`),
      peer: new RegExp(`eager ${precision}`),
      atLeast: 3,
    },
    {
      ...everyRatio,
      title: `Training step, tiny-vlm, ${precision}: 2x compiled ${precision}`,
      shortfall: causes.tiny,
      rows: new RegExp(`^train-step/tiny-vlm/${precision}$`),
      peer: new RegExp(`compile ${precision}`),
      atLeast: 2,
    },
    {
      ...everyRatio,
      title: `Training step, decoder-135m, ${precision}: 1.3x PyTorch's best ${precision}`,
      rows: new RegExp(`^train-step/decoder-135m/${precision}$`),
      peer: new RegExp(`${precision}$`),
      atLeast: 1.3,
    },
  ]),
  ...(
    [
      [1, 10],
      [8, 10],
      [32, 8],
    ] as const
  ).map(
    ([batch, ratio]): Target => ({
      ...everyRatio,
      title: `Decoding, decoder-7m, batch ${batch}: ${ratio}x PyTorch with KV cache`,
      shortfall: causes.decode,
      rows: new RegExp(`^engine/decode/decoder-7m/batch-${batch}/`),
      peer: /PyTorch/,
      atLeast: ratio,
    }),
  ),
  {
    title: "Decoding, decoder-135m, bf16, batch 1: within 1.25x of reading the weights once",
    shortfall: causes.weights,
    rows: /^engine\/decode\/decoder-135m\/batch-1\/bf16$/,
    figure: "percentOfPeak",
    over: "every row",
    atLeast: 80,
  },
  {
    ...everyRatio,
    title: "Decoding, decoder-135m, bf16, batch 1: 1x llama.cpp in bf16 or f16",
    rows: /^engine\/decode\/decoder-135m\/batch-1\/bf16$/,
    peer: /llama\.cpp/,
    atLeast: 1,
  },
  {
    ...everyRatio,
    title: "PPO iteration of the default preset: 10x the RL4VLM loop as published",
    rows: /^rollout\/ppo-iteration\/\w+$/,
    peer: /published/,
    atLeast: 10,
  },
  {
    ...everyRatio,
    title: "PPO iteration of the default preset: 3x the batched PyTorch loop",
    rows: /^rollout\/ppo-iteration\/\w+$/,
    peer: /batched/,
    atLeast: 3,
  },
  {
    ...everyRatio,
    title: "Peak memory of the training step: at most half of PyTorch's",
    shortfall: causes.memory,
    rows: /^train-step\/.*\/peak-memory$/,
    peer: /PyTorch/,
    atLeast: 2,
  },
  {
    ...everyRatio,
    title: "NumberLine, steps with frames on one core: 15x the original's drawing",
    rows: /^envs\/number-line\/steps$/,
    peer: /Pillow/,
    atLeast: 15,
  },
  {
    ...everyRatio,
    title: "EZPoints, Points24, Blackjack, steps with frames on one core: 100x the original's drawing",
    rows: /^envs\/(ez-points|points24|blackjack)\/steps$/,
    peer: /Pillow/,
    atLeast: 100,
  },
  {
    title: "The whole default run (`npm start`): at most 120 s",
    rows: /^rollout\/number-line\/whole-run$/,
    figure: "value",
    over: "every row",
    atMost: 120,
  },
];

/** How a run stands to a target; `reached` is null where no row could be measured. */
export interface Verdict {
  readonly target: Target;
  readonly reached: number | null;
  /** The row that decides it, where one does. */
  readonly row: Row | null;
  readonly met: boolean;
  /** By how much it is missed, as a share of the target; 0 where it is met or unknown. */
  readonly missedBy: number;
}

/** Judges a run by a target. Rows that could not be measured do not count. */
export function judge(target: Target, { rows }: Results): Verdict {
  const selected = rows.filter(
    ({ id, peer, [target.figure]: figure }) =>
      target.rows.test(id) && figure !== null && (target.peer === undefined || target.peer.test(peer ?? "")),
  );
  if (selected.length === 0) return { target, reached: null, row: null, met: false, missedBy: 0 };
  const { bound, isFloor } =
    target.atLeast !== undefined
      ? { bound: target.atLeast, isFloor: true }
      : { bound: target.atMost!, isFloor: false };
  const figureOf = (row: Row) => row[target.figure]!;
  const weakest = selected.reduce((a, b) => (figureOf(a) < figureOf(b) === isFloor ? a : b));
  const isMean = target.over === "geometric mean";
  const reached = isMean ? geometricMean(selected.map(figureOf)) : figureOf(weakest);
  const met = isFloor ? reached >= bound : reached <= bound;
  return {
    target,
    reached,
    row: isMean ? null : weakest,
    met,
    missedBy: met ? 0 : Math.abs(1 - reached / bound),
  };
}
