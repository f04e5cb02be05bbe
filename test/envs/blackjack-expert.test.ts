import { describe, expect, test } from "vitest";
import { BlackjackExpert } from "../../envs/gym-cards/blackjack-expert.js";
import { deriveKey, Random } from "../../src/random.js";

const expert = new BlackjackExpert();
const info = (player: string[], openCard: string) => ({ dealer: [openCard, "C2"], player, steps: 0 });

describe("BlackjackExpert", () => {
  test("writes the paper's response", () => {
    expect(expert.respond(info(["HJ", "D3"], "S8"), () => 0.5, 0)).toBe(
      '{\n "thoughts": "I have 13 points and the dealer has 8 points. I think I should hit.", \n"action": "hit" \n}',
    );
    expect(expert.respond(info(["HA", "D8"], "SA"), () => 0.5, 0)).toBe(
      '{\n "thoughts": "I have 19 points and the dealer has 1 points. I think I should stand.", \n"action": "stand" \n}',
    );
  });

  test("errs by the opposite decision about the same points", () => {
    expect(expert.respond(info(["HJ", "D3"], "S8"), () => 0.5, 1)).toBe(
      '{\n "thoughts": "I have 13 points and the dealer has 8 points. I think I should stand.", \n"action": "stand" \n}',
    );
  });

  test("writes the action alone where thoughts are off", () => {
    const silent = new BlackjackExpert({ thoughts: false });
    expect(silent.respond(info(["HJ", "D3"], "S8"), () => 0.5, 0)).toBe('{\n "action": "hit" \n}');
  });

  test("errs as often as asked", () => {
    const random = new Random(deriveKey(11));
    const n = 20_000;
    let wrong = 0;
    for (let i = 0; i < n; i++) {
      const response = expert.respond(info(["HJ", "D9"], "S8"), () => random.uniform(), 0.55);
      if (response.includes('"action": "hit"')) wrong += 1;
    }
    expect(Math.abs(wrong - 0.55 * n)).toBeLessThan(4 * Math.sqrt(n * 0.55 * 0.45));
  });

  test.each([-0.1, 1.1, Number.NaN])("refuses the error rate %d", (errorRate) => {
    expect(() => expert.respond(info(["HJ", "D3"], "S8"), () => 0, errorRate)).toThrow(
      `errorRate: expected a probability in [0, 1], received ${errorRate}`,
    );
  });
});
