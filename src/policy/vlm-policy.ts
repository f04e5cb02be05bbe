import { join } from "node:path";
import type { Frame } from "../../envs/env.js";
import {
  type Checkpoint,
  findOptimizerState,
  findWeights,
  readCheckpoint,
  writeTextFiles,
} from "../models/checkpoint.js";
import { checkpointFiles } from "../models/checkpoint-files.js";
import type { ImageSettings } from "../models/image-settings.js";
import { PromptMaker } from "../models/prompts.js";
import { type AdapterSettings, savePublished } from "../models/published-weights.js";
import { Engine } from "../native/engine.js";
import type {
  EngineOptions,
  ForwardOptions,
  ForwardResult,
  LoadSource,
  MemoryUse,
  OptimizerStep,
  OutputGradient,
  ParameterInfo,
  Profile,
  Prompt,
  SaveTarget,
  Sequence,
  StepResult,
} from "../native/types.js";
import { engineAdapters, type LoraOptions } from "./engine-adapters.js";
import type { Policy, RespondOptions, Response } from "./policy.js";

/** How the engine runs the model; the model itself comes from its folder. */
export interface VlmPolicyOptions extends Omit<EngineOptions, "model" | "tokenBytes" | "lora"> {
  /** Default, for a folder with an adapter: what the adapter needs, in the components that it is in. */
  lora?: LoraOptions;
  /** What to change of how the model's image processor makes views of frames; default: as the model's folder says. */
  images?: ImageSettings;
}

/** A vision-language model in the native engine as a policy: one engine answers, is scored and is trained. */
export class VlmPolicy implements Policy {
  readonly #checkpoint: Checkpoint;
  readonly #engine: Engine;
  readonly #prompts: PromptMaker;
  readonly #lora: AdapterSettings | undefined;

  private constructor(checkpoint: Checkpoint, engine: Engine, lora: AdapterSettings | undefined) {
    this.#checkpoint = checkpoint;
    this.#engine = engine;
    this.#lora = lora;
    this.#prompts = new PromptMaker(checkpoint);
  }

  /**
   * The model of a folder with its weights; optimizer state, if the folder has any, is left alone. The folder holds a model, or an adapter
   * that names the folder of its model.
   *
   * @throws CheckpointError, ImageSettingError, LoraModulesError
   */
  static async load(folder: string, options: VlmPolicyOptions = {}): Promise<VlmPolicy> {
    const checkpoint = await readCheckpoint(folder, options.images);
    // Before memory is taken for a model whose files are not all there.
    const model = await findWeights(checkpoint, folder);
    const policy = await VlmPolicy.#create(checkpoint, options);
    try {
      await policy.load({ model });
    } catch (error) {
      policy.dispose();
      throw error;
    }
    return policy;
  }

  /**
   * The model that a folder's text files describe with fresh weights drawn from `options.seed`.
   *
   * @throws CheckpointError, ImageSettingError, LoraModulesError
   */
  static async initialize(folder: string, options: VlmPolicyOptions = {}): Promise<VlmPolicy> {
    return VlmPolicy.#create(await readCheckpoint(folder, options.images), options);
  }

  static async #create(checkpoint: Checkpoint, options: VlmPolicyOptions): Promise<VlmPolicy> {
    const { images: _, lora: __, ...rest } = options;
    const adapters = await engineAdapters(checkpoint, options);
    const engine = await Engine.create({
      ...rest,
      ...adapters,
      model: checkpoint.spec,
      tokenBytes: checkpoint.tokenizer.tokenBytes(),
    });
    return new VlmPolicy(checkpoint, engine, adapters.lora);
  }

  get beginToken(): number | undefined {
    return this.#checkpoint.beginToken;
  }

  /** Whether prompts may have an image. */
  get takesImages(): boolean {
    return this.#checkpoint.imageProcessor !== null;
  }

  /** @param frame null for a prompt of text alone */
  encode(frame: Frame | null, prompt: string): Prompt {
    return this.#prompts.observation(frame, prompt);
  }

  async respond(prompt: Prompt, options: RespondOptions, signal?: AbortSignal): Promise<Response> {
    const { tokens, logProbs, value, finishReason } = await this.#engine.generate(
      { prompt, ...options },
      signal,
    );
    return { tokens, text: this.#checkpoint.tokenizer.decode(tokens), logProbs, value, finishReason };
  }

  encodeResponse(text: string): Int32Array {
    return this.#prompts.response(text);
  }

  tokenAtCharacter(tokens: Int32Array, character: number): number {
    return this.#checkpoint.tokenizer.tokenAtCharacter(tokens, character);
  }

  score(sequences: readonly Sequence[], options?: ForwardOptions): Promise<ForwardResult> {
    return this.#engine.forward(sequences, options);
  }

  backward(scores: ForwardResult, gradient: OutputGradient): Promise<void> {
    return this.#engine.backward(scores, gradient);
  }

  step(options: OptimizerStep): Promise<StepResult> {
    return this.#engine.step(options);
  }

  save(target: SaveTarget): Promise<void> {
    return this.#engine.save(target);
  }

  load(source: LoadSource): Promise<void> {
    return this.#engine.load(source);
  }

  /**
   * Writes a model folder that `load` and `loadCheckpoint` read: a model, or for one of a published family that is trained with adapters,
   * the adapter in the files of PEFT. Files already there are replaced one by one;
   * a caller that must survive being killed in between writes to a new folder and renames it.
   *
   * @param options.optimizer also write the optimizer's state, so that training continues where it was; default false
   */
  async saveCheckpoint(folder: string, options: { optimizer?: boolean } = {}): Promise<void> {
    const { spec, layout, base } = this.#checkpoint;
    if (layout !== null) {
      const model = { spec, layout, base };
      const kind = await savePublished(this.#engine, model, this.#lora, folder, options.optimizer === true);
      await writeTextFiles(this.#checkpoint, folder, kind);
      return;
    }
    await writeTextFiles(this.#checkpoint, folder, "whole");
    await this.save({
      model: join(folder, checkpointFiles.weights),
      ...(options.optimizer && { optimizer: join(folder, checkpointFiles.optimizer) }),
    });
  }

  /**
   * Takes the weights of a folder of the same model, and its optimizer state where it has any.
   *
   * @throws CheckpointError where the folder has no weights, or those of another model
   */
  async loadCheckpoint(folder: string): Promise<void> {
    const model = await findWeights(this.#checkpoint, folder);
    const optimizer = await findOptimizerState(folder);
    await this.load({ model, ...(optimizer !== undefined && { optimizer }) });
  }

  /** Records what the engine does while `work` is done; see `Engine.profile`. */
  profile<Result>(work: () => Promise<Result>): Promise<{ result: Result; profile: Profile }> {
    return this.#engine.profile(work);
  }

  parameters(): ParameterInfo[] {
    return this.#engine.parameters();
  }

  memory(): MemoryUse {
    return this.#engine.memory();
  }

  dispose(): void {
    this.#engine.dispose();
  }
}
