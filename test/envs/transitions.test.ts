/** The transitions of the gym-cards environments beside those recorded from the original Python environments. */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import type { Environment, StepResult } from "../../envs/env.js";
import { Blackjack } from "../../envs/gym-cards/blackjack.js";
import { EZPoints } from "../../envs/gym-cards/ez-points.js";
import { NumberLine } from "../../envs/gym-cards/number-line.js";
import { Points24 } from "../../envs/gym-cards/points24.js";
import { sharedData } from "./shared-data.js";

/** A step of the original: the action, and what `step` must return but the frame. */
interface Step extends Omit<StepResult<unknown>, "frame"> {
  readonly action: number;
}

interface Episode {
  /** The injected hand, deck or state. */
  readonly start: unknown;
  readonly steps: readonly Step[];
}

type Task = "ez-points" | "points24" | "blackjack" | "number-line";

/** Takes any start: `Episode.start` is of the type of the environment that it belongs to. */
type Replayed = Environment & { resetTo(start: unknown): unknown };

function makeEnvironment(task: Task): Replayed {
  switch (task) {
    case "ez-points":
      return new EZPoints({ referenceEval: true }) as Replayed;
    case "points24":
      return new Points24({ referenceEval: true }) as Replayed;
    case "blackjack":
      return new Blackjack({ hiddenFifthCard: true }) as Replayed;
    case "number-line":
      return new NumberLine() as Replayed;
  }
}

/** Plays the episodes; the whole of every step must be the original's. Returns the number of steps. */
function replay(task: Task, episodes: readonly Episode[]): number {
  const environment = makeEnvironment(task);
  let count = 0;
  for (const { start, steps } of episodes) {
    environment.resetTo(start);
    for (const { action, ...expected } of steps) {
      const { reward, terminated, truncated, info } = environment.step(action) as StepResult<unknown>;
      expect({ reward, terminated, truncated, info }, JSON.stringify({ task, start, count })).toEqual(
        expected,
      );
      count++;
    }
    const { terminated, truncated } = steps.at(-1)!;
    if (terminated || truncated) expect(() => environment.step(0)).toThrow(/reset/);
  }
  return count;
}

const VALUES = "A23456789T";

function cardOf(value: number): string {
  return `C${VALUES[value - 1]}`;
}

function numberOf(card: string): number {
  return VALUES.includes(card[1]!) ? VALUES.indexOf(card[1]!) + 1 : 10;
}

describe("transitions equal the original's, sample in test/golden/gym-cards", () => {
  interface Sampled {
    readonly actions: readonly number[];
    readonly rewards: readonly number[];
    readonly end: "terminated" | "truncated" | "running";
  }
  interface SampledFormula extends Sampled {
    readonly cards: readonly string[];
    readonly formula: readonly string[];
  }
  interface SampledBlackjack extends Sampled {
    readonly deck: readonly string[];
    readonly player: number;
    readonly dealer: number;
  }
  interface SampledNumberLine extends Sampled {
    readonly start: number;
    readonly target: number;
    readonly current: readonly number[];
  }
  const file = new URL("../golden/gym-cards/transitions.json", import.meta.url);
  const sample = JSON.parse(readFileSync(file, "utf8")) as {
    "ez-points": SampledFormula[];
    points24: SampledFormula[];
    blackjack: SampledBlackjack[];
    "number-line": SampledNumberLine[];
  };

  function stepsOf({ actions, rewards, end }: Sampled, infoAfter: (steps: number) => unknown): Step[] {
    return actions.map((action, i) => {
      const isLast = i === actions.length - 1;
      const [terminated, truncated] = [isLast && end === "terminated", isLast && end === "truncated"];
      return { action, reward: rewards[i]!, terminated, truncated, info: infoAfter(i + 1) };
    });
  }

  test.each(["ez-points", "points24"] as const)("%s", (task) => {
    const episodes = sample[task].map((episode): Episode => {
      const { cards, formula } = episode;
      const numbers = cards.map(numberOf);
      const infoAfter = (steps: number) => ({ cards, numbers, formula: formula.slice(0, steps), steps });
      return { start: cards, steps: stepsOf(episode, infoAfter) };
    });
    expect(replay(task, episodes)).toBeGreaterThan(400);
  });

  test("blackjack", () => {
    const episodes = sample.blackjack.map((episode): Episode => {
      const { deck, player, dealer, actions } = episode;
      const infoAfter = (steps: number) => {
        const isLast = steps === actions.length;
        const playerEnd = isLast ? 2 + player : 4 + steps;
        const drawn = isLast ? deck.slice(playerEnd, playerEnd + dealer - 2) : [];
        return { dealer: [...deck.slice(0, 2), ...drawn], player: deck.slice(2, playerEnd), steps };
      };
      return { start: deck, steps: stepsOf(episode, infoAfter) };
    });
    expect(replay("blackjack", episodes)).toBeGreaterThan(80);
  });

  test("number-line", () => {
    const episodes = sample["number-line"].map((episode): Episode => {
      const { start, target, current } = episode;
      const infoAfter = (steps: number) => ({ target, current: current[steps - 1], steps });
      return { start: { current: start, target }, steps: stepsOf(episode, infoAfter) };
    });
    expect(replay("number-line", episodes)).toBeGreaterThan(200);
  });
});

test("a formula that equals the target without all cards is wrong, as in the original", () => {
  const game = new Points24();
  game.resetTo(["C4", "D6", "HA", "SA"]);
  const { labels } = game.actionSpace;
  for (const token of ["4", "*", "6"]) game.step(labels.indexOf(token));
  expect(game.step(labels.indexOf("="))).toMatchObject({ reward: -1, terminated: true, truncated: false });
});

const file = sharedData("gym-cards/traces.json.gz");

describe.skipIf(file === undefined)(
  "transitions equal the original's, all of ../shared/data/gym-cards",
  () => {
    interface RecordedStep {
      readonly action: number;
      readonly reward: number;
      readonly terminated: boolean;
      readonly truncated: boolean;
    }
    interface RecordedFormula {
      readonly cards?: readonly string[];
      readonly numbers: readonly number[];
      readonly steps: readonly (RecordedStep & { formula: readonly (number | string)[] })[];
    }
    type RecordedCard = readonly [value: number, face: string, suit: string];
    interface RecordedBlackjack {
      readonly drawn: readonly RecordedCard[];
      readonly steps: readonly (RecordedStep & {
        player: readonly RecordedCard[];
        dealer: readonly RecordedCard[];
      })[];
    }
    type Recorded = Record<
      "ez_points" | "points24" | "ez_points_scripted" | "points24_scripted",
      RecordedFormula[]
    > & {
      blackjack: RecordedBlackjack[];
    };
    const recorded = (): Recorded => JSON.parse(gunzipSync(readFileSync(file!)).toString());

    test.each([
      ["ez-points", "ez_points", 5916],
      ["ez-points", "ez_points_scripted", 66],
      ["points24", "points24", 7611],
      ["points24", "points24_scripted", 197],
    ] as const)("%s, %s", (task, key, count) => {
      const episodes = recorded()[key].map(({ cards: dealt, numbers, steps }): Episode => {
        // Scripted episodes name values only.
        const cards = dealt ?? numbers.map(cardOf);
        return {
          start: cards,
          steps: steps.map(({ formula, ...step }, i) => ({
            ...step,
            info: { cards, numbers, formula: formula.map(String), steps: i + 1 },
          })),
        };
      });
      expect(replay(task, episodes)).toBe(count);
    });

    test("blackjack", () => {
      const name = ([value, face, suit]: RecordedCard) => suit + (value === 1 ? "A" : face);
      const episodes = recorded().blackjack.map(
        ({ drawn, steps }): Episode => ({
          start: drawn.map(name),
          steps: steps.map(({ player, dealer, ...step }, i) => ({
            ...step,
            info: { dealer: dealer.map(name), player: player.map(name), steps: i + 1 },
          })),
        }),
      );
      expect(replay("blackjack", episodes)).toBe(4218);
    });
  },
);
