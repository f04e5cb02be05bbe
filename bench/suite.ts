/** What every suite is given, and what it is. */
import type { CpuPath } from "../src/native/types.js";
import type { Peers } from "./peer-supply.js";
import { type Peaks, type Row, row, type Unit } from "./results.js";

export interface BenchContext {
  readonly threads: number;
  readonly cpu: CpuPath;
  readonly peaks: Peaks;
  /** Timed repeats of each measurement, >= 1. */
  readonly repeats: number;
  /** Leave out what takes minutes, and shorten the rest. */
  readonly quick: boolean;
  readonly peers: Peers;
  /** For files that peers read; removed after the run. */
  readonly folder: string;
  /** Whether rows of this id are asked for. */
  wants(id: string): boolean;
}

/** Yields its rows as they are measured. */
export type Suite = (context: BenchContext) => AsyncGenerator<Row, void>;

/** The rows of one measurement, or one row that says why there are none: the other measurements go on. */
export async function attempt(
  id: string,
  unit: Unit,
  measure: () => Promise<readonly Row[]>,
): Promise<readonly Row[]> {
  try {
    return await measure();
  } catch (error) {
    return [row({ id, unit, note: error instanceof Error ? error.message : String(error) })];
  }
}
