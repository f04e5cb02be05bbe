/** What a run will take on a GPU, counted before it starts: memory by purpose, and the least time that each phase can take. */
import { Engine } from "../native/engine.js";
import type {
  EngineOptions,
  MemoryPurpose,
  MemoryUse,
  ModelSpec,
  Profile,
  Prompt,
  Sequence,
} from "../native/types.js";
import { floorSeconds, type Gpu } from "./gpus.js";

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
  const rollout = await dryRun(request, async (engine) => playRollout(engine, request));
  const update = await dryRun(request, async (engine) => playUpdate(engine, request));
  const scoring = work.scoringPass
    ? await dryRun(request, async (engine) => playScoring(engine, request))
    : undefined;
  const rounds = work.decisions / work.environments;
  const steps = (work.epochs * work.decisions) / work.minibatchSize;
  const scored = work.decisions / work.microbatchSize;
  const forwards = (work.epochs * work.decisions) / work.microbatchSize;
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
      phaseOf("rollout: prompts", opsIn(rollout.profile, ["prefill"]), gpu, rounds),
      phaseOf("rollout: responses", opsIn(rollout.profile, ["decode", "sample", "generate"]), gpu, rounds),
      ...(scoring ? [phaseOf("rollout: scoring", opsIn(scoring.profile, ["forward"]), gpu, scored)] : []),
      phaseOf("update: forward", opsIn(update.profile, ["forward"]), gpu, forwards),
      phaseOf("update: backward", opsIn(update.profile, ["backward"]), gpu, forwards),
      phaseOf("update: optimizer", opsIn(update.profile, ["step"]), gpu, steps),
      { ...reduced, floorSeconds: reduced.linkBytes / gpu.linkBytesPerSecond },
    ],
  };
}

interface DryRun {
  readonly memory: MemoryUse;
  readonly profile: Profile;
  readonly trainedParameters: number;
}

async function dryRun(
  { model, options, work }: PlanRequest,
  play: (engine: Engine) => Promise<Profile>,
): Promise<DryRun> {
  // A dry run draws token 0 always: where that ends responses, another token has to.
  const endTokenId = model.endTokenId === 0 ? model.decoder.vocabularySize - 1 : model.endTokenId;
  const engine = await Engine.create({
    ...options,
    model: { ...model, endTokenId },
    maxBatch: work.environments,
    device: "cuda",
    dryRun: true,
  });
  try {
    const profile = await play(engine);
    const trainedParameters = engine
      .parameters()
      .filter(({ trainable }) => trainable)
      .reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0);
    return { memory: engine.memory(), profile, trainedParameters };
  } finally {
    engine.dispose();
  }
}

async function playRollout(engine: Engine, { model, work }: PlanRequest): Promise<Profile> {
  const { profile } = await engine.profile(() =>
    Promise.all(
      distinctPrompts(model, work.promptTokens, work.environments).map((prompt, index) =>
        engine.generate({
          prompt,
          sampling: { temperature: 1 },
          randomKey: [0, index],
          maxNewTokens: work.responseTokens,
        }),
      ),
    ),
  );
  return profile;
}

/** A dry run counts what is dropped, whatever it is. */
const dropoutKey = [0, 0] as const;

async function playUpdate(engine: Engine, { model, options, work }: PlanRequest): Promise<Profile> {
  const batch = scoredBatch(model, work);
  const components = (["vision", "projector", "decoder", "value_head"] as const).filter(
    (component) => options.trainable?.[component] !== "frozen",
  );
  const train = async () => {
    const scores = await engine.forward(batch, { dropoutKey });
    await engine.backward(scores, {
      logProbs: new Float32Array(scores.logProbs.length),
      values: new Float32Array(batch.length),
    });
    await engine.step({ groups: [{ components, learningRate: 0 }] });
  };
  // Features of a frozen vision encoder are there from the rollout; a first pass puts them there.
  await train();
  const { profile } = await engine.profile(train);
  return profile;
}

async function playScoring(engine: Engine, { model, work }: PlanRequest): Promise<Profile> {
  const batch = scoredBatch(model, work);
  // Features of a frozen vision encoder are there from the rollout; a first pass puts them there.
  await engine.forward(batch, { keepTape: false, dropoutKey });
  const { profile } = await engine.profile(() => engine.forward(batch, { keepTape: false, dropoutKey }));
  return profile;
}

/** What a forward pass of the update takes. */
function scoredBatch(model: ModelSpec, work: PlannedWork): Sequence[] {
  const response = new Int32Array(work.responseTokens + (work.scoringPass ? 1 : 0));
  return distinctPrompts(model, work.promptTokens, work.microbatchSize).map((prompt) => ({
    prompt,
    response,
  }));
}

/** One image each, all different. */
function distinctPrompts(model: ModelSpec, tokens: number, count: number): Prompt[] {
  const { imageSize, channels, patchSize } = model.vision;
  const imageTokens = (imageSize / patchSize) ** 2;
  return Array.from({ length: count }, (_, index) => {
    const image = new Float32Array(channels * imageSize ** 2);
    image[0] = index;
    const text = model.imageTokenId === 0 ? 1 : 0;
    return {
      tokens: new Int32Array(tokens).fill(text).fill(model.imageTokenId, 0, imageTokens),
      images: [image],
    };
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
