// Makes traces.json, episodes of the original gym_cards environments in the format of test/envs/traces.test.ts, from a full recording
// (the state after every step of gym_cards at b989b57): every scripted formula, and of the others as many episodes as fit.
//
//   node test/golden/gym-cards/make_traces.mjs ../shared/data/gym-cards/traces.json.gz
import { readFileSync, writeFileSync } from "node:fs";
import { argv } from "node:process";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";

const NAMES = "A23456789T";
const EPISODES = { numberLine: 60, ezPoints: 100, points24: 60, blackjack: 180 };

/** @returns the recording of a file, every episode in our format */
export function readRecording(file) {
  const recorded = JSON.parse(gunzipSync(readFileSync(file)).toString());
  const formulas = (episodes) =>
    episodes.map(({ cards, numbers, steps }) => ({
      // Scripted episodes come with the values of their cards alone.
      cards: cards ?? numbers.map((number) => `H${NAMES[number - 1]}`),
      steps: steps.map((step) => [...played(step), step.formula.map(String)]),
    }));
  return {
    source: recorded.source,
    numberLine: recorded.number_line.map(({ start, goal, steps }) => ({
      start: { current: start, target: goal },
      steps: steps.map((step) => [...played(step), [step.info.Current, step.info.Target]]),
    })),
    ezPoints: formulas([...recorded.ez_points_scripted, ...recorded.ez_points]),
    points24: formulas([...recorded.points24_scripted, ...recorded.points24]),
    blackjack: recorded.blackjack.map(({ drawn, steps }) => ({
      deck: drawn.map(nameOf),
      steps: steps.map((step) => [...played(step), step.player.map(nameOf), step.dealer.map(nameOf)]),
    })),
  };
}

/** Action, reward, and how the step ended: 0 not at all, 1 terminated, 2 truncated. */
function played({ action, reward, terminated, truncated }) {
  return [action, reward, terminated ? 1 : truncated ? 2 : 0];
}

function nameOf([value, face, suit]) {
  return suit + (value === 1 ? "A" : face);
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  const { source, ...games } = readRecording(argv[2]);
  // One episode a line keeps differences readable.
  const tables = Object.entries(EPISODES).map(([game, count]) => {
    const episodes = games[game].slice(0, count).map((episode) => JSON.stringify(episode));
    return `${JSON.stringify(game)}: [\n${episodes.join(",\n")}\n]`;
  });
  const text = `{\n"source": ${JSON.stringify(source)},\n${tables.join(",\n")}\n}\n`;
  writeFileSync(new URL("traces.json", import.meta.url), text);
}
