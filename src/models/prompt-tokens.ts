import { observationMessages } from "./chat-template.js";
import type { Checkpoint } from "./checkpoint.js";
import { expandImageTokens } from "./tiny-vlm.js";

/**
 * The tokens of an observation's prompt: its text in the model's chat template, the image's tokens included.
 *
 * @throws PromptError where the text contains the image token, or the prompt is longer than the model's positions
 */
export function promptTokens({ spec, tokenizer, chatTemplate }: Checkpoint, text: string): Int32Array {
  return expandImageTokens(spec, tokenizer.encode(chatTemplate.render(observationMessages(text), true)), 1);
}
