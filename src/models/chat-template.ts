import { Template } from "@huggingface/jinja";

/** A piece of a message; an image part marks where the image stands. */
export type ContentPart = { readonly type: "image" } | { readonly type: "text"; readonly text: string };

export interface ChatMessage {
  readonly role: "user" | "assistant";
  /** Templates of models that see images take parts, those of models of text alone take text. */
  readonly content: string | readonly ContentPart[];
}

/** The tokens that a template may refer to by name, written out; a model need not have them. */
export interface TemplateTokens {
  readonly bos_token?: string | undefined;
  readonly eos_token?: string | undefined;
}

/** A Jinja chat template as checkpoints carry it. */
export class ChatTemplate {
  readonly #template: Template;
  readonly #tokens: TemplateTokens;

  /** @throws SyntaxError where the template cannot be parsed */
  constructor(source: string, tokens: TemplateTokens) {
    this.#template = new Template(source);
    const { bos_token, eos_token } = tokens;
    this.#tokens = {
      ...(bos_token !== undefined && { bos_token }),
      ...(eos_token !== undefined && { eos_token }),
    };
  }

  /**
   * The conversation as the model reads it, special tokens written out.
   *
   * @param addGenerationPrompt end with what precedes an answer of the assistant
   */
  render(messages: readonly ChatMessage[], addGenerationPrompt: boolean): string {
    return this.#template.render({
      ...this.#tokens,
      messages,
      add_generation_prompt: addGenerationPrompt,
    });
  }
}

/**
 * The observation of one step as a conversation: an image, where there is one, then the task's text.
 *
 * @param inParts whether the template takes parts, as those of models that see images do
 */
export function observationMessages(text: string, hasImage = true, inParts = true): ChatMessage[] {
  const image = hasImage ? [{ type: "image" } as const] : [];
  return [{ role: "user", content: inParts ? [...image, { type: "text", text }] : text }];
}

/** A response as the message that follows. */
export function responseMessage(text: string, inParts = true): ChatMessage {
  return { role: "assistant", content: inParts ? [{ type: "text", text }] : text };
}
