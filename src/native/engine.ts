import { availableParallelism } from "node:os";
import { loadAddon, type NativeCall, type NativeEngine } from "./addon.js";
import { SightlineError } from "./errors.js";
import type {
  Completion,
  EngineOptions,
  ForwardOptions,
  ForwardResult,
  GenerateRequest,
  LoadSource,
  MemoryUse,
  OptimizerStep,
  OutputGradient,
  ParameterInfo,
  Profile,
  SaveTarget,
  Sequence,
  StepResult,
} from "./types.js";

/** Requests that an engine decodes together, and prompts that it remembers, where `maxBatch` does not say (native/engine/engine.h). */
export const defaultMaxBatch = 64;

/**
 * One model with everything that happens to it: it answers, scores, takes gradients, steps and is saved. All of
 * it runs on native threads; the event loop stays free.
 *
 * Calls take effect in the order in which they are made. Requests to `generate` run together; any other call
 * waits for the requests before it and holds back those behind it, so no request sees weights change. Nothing
 * but a `signal` or `dispose` ends a call early.
 *
 * Arrays are copied when a call is made, so the caller may change or transfer them at once. What goes wrong is a
 * `SightlineError` whose code says what kind of failure it is: INVALID_ARGUMENT names the argument, DISPOSED
 * means that `dispose` was called before or during the call.
 */
export class Engine {
  readonly #native: NativeEngine;
  #releasing = false;
  readonly #callsUnder = new WeakMap<AbortSignal, { ids: Set<number>; cancel: () => void }>();

  private constructor(native: NativeEngine) {
    this.#native = native;
  }

  /**
   * Builds a model with initial weights that depend on the spec and the seed alone.
   *
   * @throws SightlineError INVALID_ARGUMENT, OUT_OF_MEMORY; UNSUPPORTED where the CPU lacks the path asked for,
   *   the GPU or something that it needs is missing, or the native module cannot be loaded
   */
  static async create(options: EngineOptions): Promise<Engine> {
    const { module } = loadAddon();
    const native = await typed(() =>
      module.createEngine({ ...options, threads: options.threads ?? availableParallelism() }),
    );
    return new Engine(native);
  }

  /**
   * Samples a response. Submit as many requests as there are: those in flight share every step of the decoder,
   * equal prompts are processed once, and so are equal greedy requests. The result depends on the request and the weights, never on what runs
   * beside it. With `lora.dropout` it depends on the number of optimizer steps, too, and greedy requests with different keys differ.
   *
   * @param signal ends the request at the next decoding step; the promise then rejects with `signal.reason`
   * @throws SightlineError INVALID_ARGUMENT, OUT_OF_MEMORY, DISPOSED
   */
  generate(request: GenerateRequest, signal?: AbortSignal): Promise<Completion> {
    return this.#cancellable(() => {
      const call = this.#native.generate(request);
      this.#releaseSoon();
      return call;
    }, signal);
  }

  /** What a caller submits in one go starts in one go: fewer and fuller batches, and the same ones every time. */
  #releaseSoon(): void {
    if (this.#releasing) return;
    this.#releasing = true;
    queueMicrotask(() => {
      this.#releasing = false;
      this.#native.releaseRequests();
    });
  }

  /**
   * Scores B sequences with N response tokens in all: the log-prob of each response token given everything
   * before it, and the value at the end of each prompt. Without a step in between, log-probs and values are
   * bitwise those of `generate` at the same temperature (for greedy decoding: at temperature 1); with `lora.dropout`
   * they are not, because other elements are dropped.
   *
   * The result names a tape, which holds the activations that `backward` needs. It is freed by `backward`, by
   * the next `step` or `load`; pass `keepTape: false` where no gradient is wanted.
   *
   * @param signal ends the call if it has not begun; the promise then rejects with `signal.reason`. A call that
   *   has begun is finished.
   * @throws SightlineError INVALID_ARGUMENT, OUT_OF_MEMORY, DISPOSED
   */
  forward(
    batch: readonly Sequence[],
    options: ForwardOptions = {},
    signal?: AbortSignal,
  ): Promise<ForwardResult> {
    return this.#cancellable(() => this.#native.forward(batch, options), signal);
  }

  /**
   * Adds the gradient of a scalar loss L to the parameters' gradients and frees the tape.
   *
   * @param forward the result that L was computed from; serves once, before the next `step` or `load`
   * @param gradient dL / d log-prob (N), dL / d value (B), dL / d entropy (N)
   * @throws SightlineError INVALID_ARGUMENT for a tape that is gone, for arrays of other lengths, or for an
   *   entropy gradient where none were computed; OUT_OF_MEMORY, DISPOSED
   */
  backward(forward: ForwardResult, gradient: OutputGradient): Promise<void> {
    return typed(() => this.#native.backward(forward, gradient));
  }

  /**
   * One AdamW step with the gradients accumulated since the last: clips each group by its global norm, updates
   * its weights, and clears all gradients and tapes. Gradients of components in no group are dropped.
   *
   * @throws SightlineError INVALID_ARGUMENT for settings out of range, a component in two groups, or a gradient
   *   that is not finite, and then no weight has changed; DISPOSED
   */
  step(options: OptimizerStep): Promise<StepResult> {
    return typed(() => this.#native.step(options));
  }

  /**
   * Writes the weights, and the optimizer's state where asked, as safetensors files. Each file replaces its
   * predecessor as a whole or not at all, also if the process or the machine dies.
   *
   * @throws SightlineError IO, DISPOSED
   */
  save(target: SaveTarget): Promise<void> {
    return typed(() => this.#native.save(target));
  }

  /**
   * Takes weights, and the optimizer's state where given, from files of `save`, or from files of other float
   * types with the same tensor names and shapes. Clears all gradients and tapes.
   *
   * @throws SightlineError IO, DISPOSED; FORMAT for a file whose tensors are not exactly those of this model,
   *   and then nothing has been taken from it
   */
  load(source: LoadSource): Promise<void> {
    return typed(() => this.#native.load(source));
  }

  /**
   * Records every op and every call of the engine while `work` is done. Results do not change; each op takes some
   * hundred nanoseconds longer, and the profile up to 50 MB. Engines that are not being profiled lose nothing.
   *
   * @param work calls the engine and awaits its results; what is still running at its end is waited for and recorded
   * @returns what `work` resolved with, and the profile
   * @throws SightlineError INVALID_ARGUMENT while another profile of this engine is being taken, DISPOSED; whatever `work`
   *   throws, and then the profile is lost
   */
  async profile<Result>(work: () => Promise<Result>): Promise<{ result: Result; profile: Profile }> {
    await typed(() => this.#native.startProfile());
    let result: Result;
    try {
      result = await work();
    } catch (error) {
      // The engine may be disposed, which ended the profile too.
      await typed(() => this.#native.stopProfile()).catch(() => {});
      throw error;
    }
    return { result, profile: await typed(() => this.#native.stopProfile()) };
  }

  /** Bytes that the engine holds and has held, by purpose. @throws SightlineError DISPOSED */
  memory(): MemoryUse {
    return typedNow(() => this.#native.memory());
  }

  /** All parameters, in the order in which `save` writes them. @throws SightlineError DISPOSED */
  parameters(): ParameterInfo[] {
    return typedNow(() => this.#native.parameters());
  }

  /**
   * Ends all calls, which reject with code DISPOSED, and frees the engine's memory: at once if it is idle, else
   * as soon as the computation that is running comes to its next pause. Every later call rejects; disposing
   * again does nothing.
   */
  dispose(): void {
    this.#native.dispose();
  }

  async #cancellable<Result>(
    start: () => NativeCall<Result>,
    signal: AbortSignal | undefined,
  ): Promise<Result> {
    if (!signal) return typed(() => start().promise);
    signal.throwIfAborted();
    let release: (() => void) | undefined;
    try {
      return await typed(() => {
        const { id, promise } = start();
        release = this.#cancelOnAbort(signal, id);
        return promise;
      });
    } catch (error) {
      throw error instanceof SightlineError && error.code === "ABORTED" ? signal.reason : error;
    } finally {
      release?.();
    }
  }

  /**
   * Lets `signal` end the call, with one listener for all calls that it is given to: a rollout has hundreds.
   *
   * @returns lets go of the signal again
   */
  #cancelOnAbort(signal: AbortSignal, id: number): () => void {
    let calls = this.#callsUnder.get(signal);
    if (!calls) {
      const ids = new Set<number>();
      const cancel = () => {
        for (const running of ids) this.#native.cancel(running);
      };
      calls = { ids, cancel };
      this.#callsUnder.set(signal, calls);
      signal.addEventListener("abort", cancel, { once: true });
    }
    const { ids, cancel } = calls;
    ids.add(id);
    return () => {
      ids.delete(id);
      if (ids.size > 0) return;
      signal.removeEventListener("abort", cancel);
      this.#callsUnder.delete(signal);
    };
  }
}

/** Awaits a native call; what it throws or rejects with becomes a `SightlineError`. */
async function typed<Result>(call: () => Promise<Result>): Promise<Result> {
  try {
    return await call();
  } catch (error) {
    throw SightlineError.fromNative(error);
  }
}

/** The same for a call that returns at once. */
function typedNow<Result>(call: () => Result): Result {
  try {
    return call();
  } catch (error) {
    throw SightlineError.fromNative(error);
  }
}
