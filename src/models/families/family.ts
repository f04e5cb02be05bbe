import type { z } from "zod";
import type { ModelSpec } from "../../native/model-spec.js";
import type { ViewPolicy } from "../image-processor-spec.js";
import type { ImageArrangement } from "../image-views.js";

/** A tensor of a checkpoint, under the name that the family's files on the Hugging Face hub give it: its canonical name. */
export interface CheckpointTensor {
  readonly name: string;
  /** As in the files; the parameter's has the same number of elements. */
  readonly shape: readonly number[];
  /** `ParameterInfo.name` of what it holds; null: the model has no use for it, and a new checkpoint takes it over as it is. */
  readonly parameter: string | null;
}

/** How a checkpoint's files name what the engine computes with. */
export interface TensorLayout {
  /** Every tensor of a complete checkpoint. Those without a parameter may be absent, the others must be there. */
  readonly tensors: readonly CheckpointTensor[];
  /**
   * Tensors that may be there beside them and then hold the same numbers as another one, by name: the head of a model whose
   * head is tied to its embeddings.
   */
  readonly copies: Readonly<Record<string, string>>;
  /**
   * The canonical name of a tensor in any layout that the family is published in: that of the hub, that of Transformers' modules
   * since 4.52, the authors' original one. Keys of adapters, behind `base_model.model.`, follow the same layouts. A name that no
   * layout has comes back as it is.
   *
   * @returns null for a tensor that holds nothing learned, as tables of positions, which no file needs
   */
  canonicalName(name: string): string | null;
}

/** How an image stands in the text of a prompt. */
export interface ImagePrompt {
  /** The image token, as the chat template writes it, once for each image. */
  readonly token: string;
  /** The kinds of views that the family's encoder takes. */
  readonly views: readonly ViewPolicy["kind"][];
  /**
   * What that one becomes before the text is tokenised: text in which the image token stands once for each run of image tokens,
   * all runs of one length.
   */
  text(arrangement: ImageArrangement): string;
}

/** What a `config.json` says of a model. */
export interface ModelMapping {
  /** A published model has no value head: `publishedValueHead`. */
  readonly spec: ModelSpec;
  /** Null where files hold the parameters under their own names, value head included (the tiny family). */
  readonly layout: TensorLayout | null;
  /** Null for a model of text alone. */
  readonly image: ImagePrompt | null;
}

/** A family of models: a mapping from how it is published to what the engine computes. */
export interface Family {
  /** Values of `model_type` in `config.json`. */
  readonly modelTypes: readonly string[];
  /**
   * Reads the content of `config.json`. Settings that would change the mathematics in a way that the engine has not are refused
   * by their key; those without effect on inference and training here are let through.
   */
  readonly config: z.ZodType<ModelMapping>;
}

/** The value head of Zhai et al. 2024, section 4.3, for models that are published without one. */
export const publishedValueHead: ModelSpec["valueHead"] = {
  hiddenWidths: [1024, 512],
  trunkGradientScale: 1,
};
