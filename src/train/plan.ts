/** What a run will take on a GPU, counted before it starts: memory by purpose, and the least time that each phase can take. */
import { defaultMaxBatch, Engine } from "../native/engine.js";
import type { ModelSpec } from "../native/model-spec.js";
import type {
  Component,
  EngineOptions,
  MemoryPurpose,
  MemoryUse,
  Profile,
  Prompt,
  Sequence,
} from "../native/types.js";
import { floorSeconds, type Gpu } from "./gpus.js";
import { plannedImage } from "./planned-image.js";

/** One iteration of PPO on one GPU; all GPUs of a run do the same. */
export interface PlannedWork {
  /** Environments played side by side. */
  readonly environments: number;
  /** Decisions per iteration. */
  readonly decisions: number;
  readonly epochs: number;
  /** Decisions per optimizer step. */
  readonly minibatchSize: number;
  /** Decisions per forward pass. */
  readonly microbatchSize: number;
  /** Tokens of a prompt, image tokens included, and of a response. */
  readonly promptTokens: number;
  readonly responseTokens: number;
  /**
   * Responses are scored once more before the update, and then as in the update after one more token, as
   * `quirks.insertBeginToken` has it. Default false.
   */
  readonly scoringPass?: boolean;
}

export interface PlanRequest {
  readonly model: ModelSpec;
  /** How the engine runs it. */
  readonly options: Omit<EngineOptions, "model" | "device" | "dryRun" | "memoryLimitBytes">;
  readonly work: PlannedWork;
  readonly gpu: Gpu;
  readonly gpuCount: number;
}

/** Bytes at the moment when a phase holds most. */
export type PlannedMemory = Readonly<Record<MemoryPurpose | "total", number>>;

/** A part of an iteration. Counts are per GPU and iteration. */
export interface PlannedPhase {
  readonly name: string;
  /** Calls of ops. */
  readonly ops: number;
  readonly flops: number;
  readonly bf16Flops: number;
  readonly bytes: number;
  /** Sent over the links between the GPUs. */
  readonly linkBytes: number;
  /** No implementation can be faster: every op at the peak of arithmetic or of memory, whichever it needs longer. */
  readonly floorSeconds: number;
}

export interface Plan {
  readonly rollout: PlannedMemory;
  readonly update: PlannedMemory;
  /** What the driver and the libraries take beside the engine: an estimate, unlike the rest. */
  readonly reservedBytes: number;
  readonly budgetBytes: number;
  readonly fits: boolean;
  readonly trainedParameters: number;
  readonly phases: readonly PlannedPhase[];
}

/** CUDA context, communication buffers, library handles. */
export const reservedBytes = 1.5e9;

/**
 * Plays an iteration through an engine that counts instead of computing (`EngineOptions.dryRun`), so that the plan is what
 * the engine does, byte for byte and op for op, and no model of it.
 *
 * Responses are taken to be full length and prompts all different, which is the most that memory can be asked for.
 *
 * @throws SightlineError INVALID_ARGUMENT for sizes that do not fit together
 */
export async function makePlan(request: PlanRequest): Promise<Plan> {
  const { gpu, gpuCount, work } = request;
  const { promptTokens, responseTokens } = work;
  const sizes = { model: request.model, promptTokens, responseTokens };
  const rollout = await dryRun(request, async (engine) => {
    const played = { ...sizes, count: work.environments };
    await seePrompts(engine, played, work.decisions);
    const { profile } = await engine.profile(() => playRollout(engine, played));
    return profile;
  });
  const scored = {
    ...sizes,
    count: work.microbatchSize,
    responseTokens: responseTokens + (work.scoringPass ? 1 : 0),
  };
  const scoring = work.scoringPass
    ? await dryRun(request, (engine) => playScoring(engine, scored))
    : undefined;
  const update = await dryRun(request, async (engine) => {
    const train = () => playUpdate(engine, { ...scored, components, values: true });
    // Features of a frozen vision encoder are there from the rollout; a first pass puts them there.
    await train();
    return (await engine.profile(train)).profile;
  });
  const rounds = work.decisions / work.environments;
  const steps = (work.epochs * work.decisions) / work.minibatchSize;
  const scorings = work.decisions / work.microbatchSize;
  const forwards = work.epochs * scorings;
  const gradientBytes = update.memory.gradients.currentBytes;
  const reduced: PlannedPhase = {
    ...phaseOf("gradient all-reduce", [], gpu, 1),
    // A ring sends 2 (n - 1) / n of the buffer over each link.
    linkBytes: steps * gradientBytes * ((2 * (gpuCount - 1)) / gpuCount),
  };
  const peaks = { rollout: peaksOf(rollout.memory), update: peaksOf(update.memory) };
  const budgetBytes = gpu.memoryBytes;
  return {
    ...peaks,
    reservedBytes,
    budgetBytes,
    fits: Math.max(peaks.rollout.total, peaks.update.total) + reservedBytes <= budgetBytes,
    trainedParameters: update.trainedParameters,
    phases: [
      phaseOf("rollout: prompts", opsIn(rollout.result, ["prefill"]), gpu, rounds),
      phaseOf("rollout: responses", opsIn(rollout.result, ["decode", "sample", "generate"]), gpu, rounds),
      ...(scoring ? [phaseOf("rollout: scoring", opsIn(scoring.result, ["forward"]), gpu, scorings)] : []),
      phaseOf("update: forward", opsIn(update.result, ["forward"]), gpu, forwards),
      phaseOf("update: backward", opsIn(update.result, ["backward"]), gpu, forwards),
      phaseOf("update: optimizer", opsIn(update.result, ["step"]), gpu, steps),
      { ...reduced, floorSeconds: reduced.linkBytes / gpu.linkBytesPerSecond },
    ],
  };
}

/** What a run asks of its device, at most. */
export interface PlannedUse {
  /** Tokens of a prompt, image tokens included, and of a response. */
  readonly promptTokens: number;
  readonly responseTokens: number;
  /** Responses that are generated side by side. */
  readonly responses: number;
  /** Different prompts between two changes of the weights: the engine keeps what it knows of the latest. */
  readonly prompts: number;
  /** Absent where nothing is trained. */
  readonly update?: {
    /** Sequences of a forward pass, and the tokens of each that it scores. */
    readonly sequences: number;
    readonly scoredTokens: number;
    readonly values: boolean;
    readonly entropies: boolean;
  };
}

/**
 * Memory at the fullest moment of a run that generates, trains and generates again in one engine, as `makePlan` counts it.
 *
 * @throws SightlineError INVALID_ARGUMENT for sizes that do not fit together
 */
export async function planMemory(
  { model, options }: Pick<PlanRequest, "model" | "options">,
  { responses, prompts, update, promptTokens, responseTokens }: PlannedUse,
): Promise<PlannedMemory> {
  const sizes = { model, promptTokens, responseTokens };
  const { memory } = await dryRun({ model, options }, async (engine) => {
    const played = { ...sizes, count: responses };
    const generate = async () => {
      await seePrompts(engine, played, prompts - responses);
      await playRollout(engine, played);
    };
    await generate();
    if (update === undefined) return;
    const { sequences, scoredTokens, values, entropies } = update;
    const trained = values ? components : components.filter((component) => component !== "value_head");
    const scored = { ...sizes, count: sequences, responseTokens: scoredTokens };
    const train = () => playUpdate(engine, { ...scored, components: trained, values, entropies });
    await train();
    await generate();
    await train();
  });
  return peaksOf(memory);
}

interface DryRun<Result> {
  readonly result: Result;
  readonly memory: MemoryUse;
  readonly trainedParameters: number;
}

async function dryRun<Result>(
  { model, options }: Pick<PlanRequest, "model" | "options">,
  play: (engine: Engine) => Promise<Result>,
): Promise<DryRun<Result>> {
  // A dry run draws token 0 always: where that ends responses, another token has to.
  const endTokenId = model.endTokenId === 0 ? model.decoder.vocabularySize - 1 : model.endTokenId;
  const engine = await Engine.create({
    ...options,
    model: { ...model, endTokenId },
    device: "cuda",
    dryRun: true,
  });
  try {
    const result = await play(engine);
    const trainedParameters = engine
      .parameters()
      .filter(({ trainable }) => trainable)
      .reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0);
    return { result, memory: engine.memory(), trainedParameters };
  } finally {
    engine.dispose();
  }
}

/** So many sequences of a prompt and a response. */
interface Sizes {
  readonly model: ModelSpec;
  readonly count: number;
  readonly promptTokens: number;
  readonly responseTokens: number;
}

/**
 * Shows an engine `prompts` others before those of a rollout, as many at a time as there; more than are remembered leave no trace.
 * The first of them get responses, since what steps of decoding hold is there when later prompts come; the others need none.
 */
async function seePrompts(engine: Engine, sizes: Sizes, prompts: number): Promise<void> {
  const { model, count, promptTokens, responseTokens } = sizes;
  const seen = Math.min(prompts, defaultMaxBatch);
  const others = distinctPrompts(model, promptTokens, count + seen).slice(count);
  for (let first = 0; first < seen; first += count)
    await respond(engine, others.slice(first, first + count), first === 0 ? responseTokens : 0);
}

const playRollout = (engine: Engine, { model, count, promptTokens, responseTokens }: Sizes): Promise<void> =>
  respond(engine, distinctPrompts(model, promptTokens, count), responseTokens);

async function respond(engine: Engine, prompts: readonly Prompt[], maxNewTokens: number): Promise<void> {
  const request = { sampling: { temperature: 1 }, maxNewTokens };
  await Promise.all(prompts.map((prompt, i) => engine.generate({ ...request, prompt, randomKey: [0, i] })));
}

/** A dry run counts what is dropped, whatever it is. */
const dropoutKey = [0, 0] as const;

/** Old log-probs, where the update does not take those of sampling. */
async function playScoring(engine: Engine, sizes: Sizes): Promise<Profile> {
  const batch = batchOf(sizes);
  const score = () => engine.forward(batch, { keepTape: false, dropoutKey });
  // Features of a frozen vision encoder are there from the rollout; a first pass puts them there.
  await score();
  return (await engine.profile(score)).profile;
}

/** What a forward pass takes. */
function batchOf({ model, count, promptTokens, responseTokens }: Sizes): Sequence[] {
  const response = new Int32Array(responseTokens);
  return distinctPrompts(model, promptTokens, count).map((prompt) => ({ prompt, response }));
}

const components = ["vision", "projector", "decoder", "value_head"] as const;

async function playUpdate(
  engine: Engine,
  {
    components,
    values,
    entropies = false,
    ...sizes
  }: Sizes & { components: readonly Component[]; values: boolean; entropies?: boolean },
): Promise<void> {
  const batch = batchOf(sizes);
  const trainable = new Set(
    engine
      .parameters()
      .filter(({ trainable }) => trainable)
      .map(({ component }) => component),
  );
  const scores = await engine.forward(batch, { entropies, dropoutKey });
  await engine.backward(scores, {
    logProbs: new Float32Array(scores.logProbs.length),
    ...(values && { values: new Float32Array(batch.length) }),
    ...(entropies && { entropies: new Float32Array(scores.logProbs.length) }),
  });
  const trained = components.filter((component) => trainable.has(component));
  await engine.step({ groups: [{ components: trained, learningRate: 0 }] });
}

/** One image each, where the model takes any; all different. */
function distinctPrompts(model: ModelSpec, tokens: number, count: number): Prompt[] {
  const image = plannedImage(model);
  return Array.from({ length: count }, (_, index) => {
    const text = model.imageTokenId === 0 ? 1 : 0;
    const prompt = new Int32Array(tokens).fill(text);
    if (image === null || model.imageTokenId === null) {
      prompt[0] = index;
      return { tokens: prompt, images: [] };
    }
    return { tokens: prompt.fill(model.imageTokenId, 0, image.tokens), images: [image.make(index)] };
  });
}

const peaksOf = (memory: MemoryUse): PlannedMemory =>
  Object.fromEntries(
    Object.entries(memory).map(([purpose, { peakBytes }]) => [purpose, peakBytes]),
  ) as PlannedMemory;

const opsIn = ({ ops }: Profile, calls: readonly string[]): Profile["ops"] =>
  ops.filter(({ call }) => calls.includes(call));

/** @param times how often the work of `ops` is done in an iteration */
function phaseOf(name: string, ops: Profile["ops"], gpu: Gpu, times: number): PlannedPhase {
  const sum = (value: (op: Profile["ops"][number]) => number) =>
    times * ops.reduce((total, op) => total + value(op), 0);
  return {
    name,
    ops: sum(({ calls }) => calls),
    flops: sum(({ flops }) => flops),
    bf16Flops: sum(({ bf16Flops }) => bf16Flops),
    bytes: sum(({ bytes }) => bytes),
    linkBytes: 0,
    floorSeconds: sum((op) => floorSeconds(op, gpu)),
  };
}
