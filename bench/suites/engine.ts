/** Generation: decoding with a KV cache, and prefill. */
import type { Engine } from "../../src/native/engine.js";
import type { Completion, Precision, Prompt } from "../../src/native/types.js";
import { compare, type PeerRequest, rowsOf } from "../comparison.js";
import { scoreFlops, weightsPerToken } from "../flops.js";
import {
  type ModelName,
  openEngine,
  type PreparedModel,
  peakFlops,
  precisions,
  prepareModel,
} from "../models.js";
import { source, tokens } from "../random-inputs.js";
import type { Row } from "../results.js";
import { attempt, type BenchContext, type Suite } from "../suite.js";

const PROMPT_TOKENS = 124;
/** Decoding steps of one repetition: the context grows from 124 to 184. */
const STEPS = 60;

const decodeCases: readonly { model: ModelName; batches: readonly number[] }[] = [
  { model: "decoder-7m", batches: [1, 8, 32] },
  { model: "decoder-135m", batches: [1] },
];
const PREFILL_PROMPTS = 8;

export const engine: Suite = async function* (context) {
  for (const { model: name, batches } of decodeCases) {
    if (context.quick && name === "decoder-135m") continue;
    const measurements = precisions.flatMap((precision) => [
      ...batches.map((batch) => ({
        id: `engine/decode/${name}/batch-${batch}/${precision}`,
        precision,
        batch,
      })),
      { id: `engine/prefill/${name}/${precision}`, precision, batch: undefined },
    ]);
    const wanted = measurements.filter(({ id }) => context.wants(id));
    if (wanted.length === 0) continue;
    const model = await prepareModel(context, name);
    for (const { id, precision, batch } of wanted) {
      yield* await attempt(id, "tokens/s", () =>
        withEngine(context, model, precision, (opened) =>
          batch === undefined
            ? measurePrefill(context, id, model, opened, precision)
            : measureDecode(context, id, model, opened, precision, batch),
        ),
      );
    }
  }
};

async function withEngine(
  context: BenchContext,
  model: PreparedModel,
  precision: Precision,
  measure: (opened: Engine) => Promise<Row[]>,
): Promise<Row[]> {
  const opened = await openEngine(context, model, precision);
  try {
    return await measure(opened);
  } finally {
    opened.dispose();
  }
}

function makePrompts({ spec }: PreparedModel, count: number, ...key: number[]): Prompt[] {
  const random = source(2, ...key);
  const draw = () => tokens(random, PROMPT_TOKENS, spec.decoder.vocabularySize - 2);
  return Array.from({ length: count }, () => ({ tokens: draw(), images: [] }));
}

/** The most likely token every time, as greedy decoding, of which the engine would answer equal requests from memory. */
const mostLikely = { temperature: 1, topK: 1 } as const;

function generate(opened: Engine, prompts: readonly Prompt[], maxNewTokens: number): Promise<Completion[]> {
  return Promise.all(
    prompts.map((prompt) =>
      opened.generate({ prompt, sampling: mostLikely, randomKey: [0, 0], maxNewTokens }),
    ),
  );
}

/**
 * The prompts stay in the engine's cache after the first repetition, so a repetition is `STEPS` steps of decoding
 * and the choice of the first token, twice: the first finds the caches as a contestant left them, the second is timed.
 */
async function measureDecode(
  context: BenchContext,
  id: string,
  model: PreparedModel,
  opened: Engine,
  precision: Precision,
  batch: number,
): Promise<Row[]> {
  const prompts = makePrompts(model, batch, batch);
  const expected = (await generate(opened, prompts, STEPS + 1)).map((completion) => [...completion.tokens]);
  const short = expected.find(({ length }) => length !== STEPS + 1);
  if (short) throw new Error(`expected ${STEPS + 1} tokens from every prompt, received ${short.length}`);
  const ours = async () => {
    await generate(opened, prompts, STEPS + 1);
    const start = performance.now();
    await generate(opened, prompts, STEPS + 1);
    return (performance.now() - start) / 1000;
  };
  const requests = peerRequests(context, model, prompts, precision, expected);
  const comparison = await compare(ours, requests, context.repeats);
  const weights = weightsPerToken(model.spec);
  // What limits decoding: every step reads all weights once.
  const bytes = STEPS * weights * (precision === "bf16" ? 2 : 4);
  const work = {
    id,
    unit: "tokens/s",
    amount: STEPS * batch,
    flops: 2 * weights * STEPS * batch,
    bytes,
    secondsAtPeak: bytes / (1e9 * context.peaks.readGigabytesPerSecond),
  } as const;
  return rowsOf(work, comparison);
}

async function measurePrefill(
  context: BenchContext,
  id: string,
  model: PreparedModel,
  opened: Engine,
  precision: Precision,
): Promise<Row[]> {
  let repetition = 0;
  const ours = async () => {
    // Prompts that the engine has not seen, or it would take them from its cache.
    const prompts = makePrompts(model, PREFILL_PROMPTS, 100, repetition++);
    const start = performance.now();
    await generate(opened, prompts, 0);
    return (performance.now() - start) / 1000;
  };
  const lengths = { prompt: PROMPT_TOKENS, response: 1, images: 0 };
  const { decoder } = model.spec;
  const flops =
    PREFILL_PROMPTS * (scoreFlops(model.spec, lengths) - 2 * decoder.vocabularySize * decoder.width);
  const work = {
    id,
    unit: "tokens/s",
    amount: PREFILL_PROMPTS * PROMPT_TOKENS,
    flops,
    secondsAtPeak: flops / peakFlops(context.peaks, precision),
  } as const;
  return rowsOf(work, await compare(ours, [], context.repeats));
}

function peerRequests(
  { peers, quick }: BenchContext,
  model: PreparedModel,
  prompts: readonly Prompt[],
  precision: Precision,
  expected: readonly number[][],
): PeerRequest[] {
  const settings = {
    model: model.spec,
    weights: model.weights,
    prompts: prompts.map((prompt) => [...prompt.tokens]),
    newTokens: STEPS,
  };
  const request = (supply: PeerRequest["supply"], variant: string, theirs: string): PeerRequest => ({
    supply,
    variant: `${variant} ${theirs}`,
    case: "decode",
    settings: { ...settings, variant, precision: theirs },
    // With fewer bits, tokens whose logits are close change places, and then the whole continuation does.
    ...(precision === "fp32" && { disagreement: (values) => disagreement(values, expected) }),
  });
  const requests = [request(peers.pytorch, "eager", precision)];
  if (!quick) requests.push(request(peers.pytorch, "compile", precision));
  if (model.name === "decoder-135m") {
    requests.push(request(peers.llamaCpp, "eager", precision));
    if (precision === "bf16") requests.push(request(peers.llamaCpp, "eager", "fp16"));
  }
  return requests;
}

/** Equal greedy tokens mean equal logits but for rounding. */
function disagreement(
  { tokens: theirs }: Record<string, unknown>,
  expected: readonly number[][],
): string | undefined {
  if (!Array.isArray(theirs) || theirs.length !== expected.length)
    return "tokens: expected one list per prompt";
  const wrong = expected.findIndex((row, i) => !Array.isArray(theirs[i]) || theirs[i][0] !== row[0]);
  if (wrong === -1) return undefined;
  return `tokens[${wrong}]: expected to begin with ${expected[wrong]![0]}, received ${theirs[wrong]}`;
}
