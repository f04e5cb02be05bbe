import type { Frame } from "../../envs/env.js";
import type { ModelSpec } from "../native/model-spec.js";
import type { ImageInput, Prompt } from "../native/types.js";
import { observationMessages, responseMessage } from "./chat-template.js";
import type { Checkpoint } from "./checkpoint.js";
import type { ImagePrompt } from "./families/family.js";
import type { ProcessedImage } from "./image-processor.js";
import { anyResolutionRows, imageTokenCount } from "./image-tokens.js";

export type PromptErrorCode = "IMAGE_TOKEN_MISMATCH" | "PROMPT_TOO_LONG";

/** A prompt that the model cannot take. */
export class PromptError extends Error {
  constructor(
    readonly code: PromptErrorCode,
    message: string,
  ) {
    super(message);
    this.name = "PromptError";
  }
}

/** Prompts whose tokens are kept; tasks have one text, or one per state of a formula. */
const CACHE_SIZE = 256;

/** Makes what the engine takes of observations and responses, as the checkpoint's processor and chat template do. */
export class PromptMaker {
  readonly #checkpoint: Checkpoint;
  /** Tokens by text and size of the frame, least recently used first. */
  readonly #tokens = new Map<string, Int32Array>();
  /** What the template writes between a prompt and the response to it. */
  readonly #responseOpening: string;

  constructor(checkpoint: Checkpoint) {
    this.#checkpoint = checkpoint;
    this.#responseOpening = responseOpening(checkpoint);
  }

  /**
   * The prompt of an observation: the image, where there is one and the model sees, and the text in the chat template, with as many image tokens as
   * the image takes.
   *
   * @throws PromptError where the text contains the image token, or the prompt is longer than the model's positions
   * @throws FrameError for a frame that cannot be processed
   */
  observation(frame: Frame | null, text: string): Prompt {
    const { imageProcessor, spec } = this.#checkpoint;
    if (imageProcessor === null || frame === null) return { tokens: this.#tokensOf(text, null), images: [] };
    const image = imageProcessor.process(frame);
    return { tokens: this.#tokensOf(text, image), images: [imageInput(spec, image)] };
  }

  /** The tokens of a response as the template has it behind a prompt, with the end token. For supervised targets. */
  response(text: string): Int32Array {
    const { tokenizer, spec } = this.#checkpoint;
    return Int32Array.of(...tokenizer.encodeContinuation(this.#responseOpening + text), spec.endTokenId);
  }

  #tokensOf(text: string, image: ProcessedImage | null): Int32Array {
    const size = image && `${image.originalSize.width} x ${image.originalSize.height}`;
    const key = `${size} ${text}`;
    const cache = this.#tokens;
    let tokens = cache.get(key);
    if (tokens === undefined) {
      tokens = promptTokens(this.#checkpoint, text, image);
      if (cache.size >= CACHE_SIZE) cache.delete(cache.keys().next().value!);
    } else {
      cache.delete(key);
    }
    cache.set(key, tokens);
    return tokens;
  }
}

/** The text in the chat template, tokenised, with the image's tokens. */
function promptTokens(checkpoint: Checkpoint, text: string, image: ProcessedImage | null): Int32Array {
  const { spec, tokenizer, chatTemplate, image: rule } = checkpoint;
  const hasImage = image !== null;
  // Without a template, the image precedes the text.
  const plain = hasImage ? `${rule!.token}${text}` : text;
  const rendered = chatTemplate?.render(observationMessages(text, hasImage, rule !== null), true) ?? plain;
  const marked = tokenizer.encodePrompt(rule === null ? rendered : placed(rule, rendered, image));
  const tokens = hasImage ? expanded(checkpoint, marked, image) : marked;
  const { maxPositions } = spec.decoder;
  if (tokens.length >= maxPositions) {
    throw new PromptError(
      "PROMPT_TOO_LONG",
      `prompt: expected fewer than maxPositions = ${maxPositions} tokens, image tokens included, ` +
        `received ${tokens.length}`,
    );
  }
  return tokens;
}

/** The rendered text with what stands for the image where the template has put its token. */
function placed({ token, text }: ImagePrompt, rendered: string, image: ProcessedImage | null): string {
  const parts = rendered.split(token);
  const expected = image === null ? 0 : 1;
  if (parts.length - 1 !== expected) {
    throw new PromptError(
      "IMAGE_TOKEN_MISMATCH",
      `prompt: expected ${expected} image token(s), "${token}", one per image, received ${parts.length - 1}; ` +
        "a prompt's text must not contain the image token itself",
    );
  }
  return image === null ? rendered : parts.join(text(image.arrangement));
}

/** Every image token repeated as often as a run of the image's tokens is long. */
function expanded(
  { spec, tokenizer, image: rule }: Checkpoint,
  tokens: Int32Array,
  image: ProcessedImage,
): Int32Array {
  const mark = tokenizer.tokenId(rule!.token);
  const runs = tokens.filter((token) => token === mark).length;
  const total = imageTokenCount(image, spec.vision!.patchSize * spec.projector!.mergeSize);
  const length = total / runs;
  const result = new Int32Array(tokens.length - runs + total);
  let position = 0;
  for (const token of tokens) {
    const repeats = token === mark ? length : 1;
    result.fill(token === mark ? spec.imageTokenId! : token, position, position + repeats);
    position += repeats;
  }
  return result;
}

/** An image with what the engine needs to place its features. */
function imageInput(spec: ModelSpec, image: ProcessedImage): ImageInput {
  const { pixels, arrangement } = image;
  const vision = spec.vision!;
  if (arrangement.kind === "patches") {
    return { pixels, grid: { rows: arrangement.rows, columns: arrangement.columns } };
  }
  if (arrangement.kind === "any_resolution") {
    return { pixels, tokens: anyResolutionRows(image, vision.patchSize * spec.projector!.mergeSize) };
  }
  const side = vision.kind === "fixed_resolution" ? vision.imageSize : image.viewSize.width;
  return { pixels: side === image.viewSize.width ? pixels : topLeft(image, side) };
}

/** The part of each view that patches cover: `side` pixels from the left and the top. */
function topLeft({ pixels, viewSize }: ProcessedImage, side: number): Float32Array {
  const planes = pixels.length / (viewSize.width * viewSize.height);
  const covered = new Float32Array(planes * side * side);
  for (let row = 0; row < planes * side; row++) {
    const first = (Math.floor(row / side) * viewSize.height + (row % side)) * viewSize.width;
    covered.set(pixels.subarray(first, first + side), row * side);
  }
  return covered;
}

/** What precedes an answer in a conversation beyond what asks for it: nothing, or the space behind "ASSISTANT:". */
function responseOpening({ chatTemplate, image }: Checkpoint): string {
  if (chatTemplate === null) return "";
  const seesImages = image !== null;
  const observation = observationMessages("?", seesImages, seesImages);
  const prompt = chatTemplate.render(observation, true);
  const answer = "answer";
  const whole = chatTemplate.render([...observation, responseMessage(answer, seesImages)], false);
  const start = whole.indexOf(answer, prompt.length);
  return whole.startsWith(prompt) && start >= 0 ? whole.slice(prompt.length, start) : "";
}
