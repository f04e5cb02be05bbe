/** Action, reward, and how the step ended: 0 not at all, 1 terminated, 2 truncated. */
type Played = [action: number, reward: number, end: number];

export interface FormulaTrace {
  cards: string[];
  steps: [...Played, formula: string[]][];
}

export interface Traces {
  source: string;
  numberLine: {
    start: { current: number; target: number };
    steps: [...Played, state: [current: number, target: number]][];
  }[];
  ezPoints: FormulaTrace[];
  points24: FormulaTrace[];
  blackjack: { deck: string[]; steps: [...Played, player: string[], dealer: string[]][] }[];
}

export function readRecording(file: string): Traces;
