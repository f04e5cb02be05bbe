import { Template } from "@huggingface/jinja";

/** A piece of a message; an image part marks where the image stands. */
export type ContentPart = { readonly type: "image" } | { readonly type: "text"; readonly text: string };

export interface ChatMessage {
  readonly role: "user" | "assistant";
  readonly content: readonly ContentPart[];
}

/** The tokens that a template may refer to by name. */
export interface TemplateTokens {
  readonly bos_token: string;
  readonly eos_token: string;
}

/** A Jinja chat template as checkpoints carry it in `tokenizer_config.json`. */
export class ChatTemplate {
  readonly #template: Template;
  readonly #tokens: TemplateTokens;

  /** @throws SyntaxError where the template cannot be parsed */
  constructor(source: string, tokens: TemplateTokens) {
    this.#template = new Template(source);
    this.#tokens = { bos_token: tokens.bos_token, eos_token: tokens.eos_token };
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

/** The observation of one step as a conversation: an image, then the task's text. */
export function observationMessages(text: string): ChatMessage[] {
  return [{ role: "user", content: [{ type: "image" }, { type: "text", text }] }];
}
