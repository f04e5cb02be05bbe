import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { ChatTemplate, observationMessages } from "../../src/models/chat-template.js";

const { chat_template, bos_token, eos_token } = JSON.parse(
  readFileSync(new URL("../../assets/tiny-vlm/tokenizer_config.json", import.meta.url), "utf8"),
);
const template = new ChatTemplate(chat_template, { bos_token, eos_token });

describe("the tiny model's chat template", () => {
  test("puts the image before the text and ends where the answer starts", () => {
    expect(template.render(observationMessages("Move."), true)).toBe("<bos>USER: <image>\nMove. ASSISTANT:");
  });

  test("ends after the last message when no answer is asked for", () => {
    expect(template.render(observationMessages("Move."), false)).toBe("<bos>USER: <image>\nMove.");
  });

  test("ends an answer with the end token", () => {
    const messages = [
      ...observationMessages("Move."),
      { role: "assistant", content: [{ type: "text", text: "{}" }] } as const,
    ];
    expect(template.render(messages, false)).toBe("<bos>USER: <image>\nMove. ASSISTANT:{}<eos>");
  });

  test("refuses a role that it does not know", () => {
    const system = { role: "system", content: [{ type: "text", text: "Be brief." }] } as const;
    expect(() => template.render([system as never], true)).toThrow("received system");
  });

  test("does not interpret template syntax inside a prompt", () => {
    expect(template.render(observationMessages("{{ bos_token }}{% if %}"), true)).toContain(
      "{{ bos_token }}{% if %}",
    );
  });
});

test("a template that cannot be parsed is refused on construction", () => {
  expect(() => new ChatTemplate("{% for %}", { bos_token, eos_token })).toThrow();
});
