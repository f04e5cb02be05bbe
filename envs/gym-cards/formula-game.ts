export interface FormulaInfo {
  readonly cards: readonly string[];
  readonly numbers: readonly number[];
  readonly formula: readonly string[];
  readonly steps: number;
}
