/** Single ops on the shapes that training and generation meet, without anything of JavaScript in the timed part. */
import { compare, rowsOf } from "../comparison.js";
import { peakFlops } from "../models.js";
import type { OpCase } from "../op-case.js";
import { attentionCases } from "../op-cases/attention.js";
import { matmulCases } from "../op-cases/matmul.js";
import { rowCases } from "../op-cases/rows.js";
import type { Row } from "../results.js";
import { attempt, type BenchContext, type Suite } from "../suite.js";
import { testingAddon } from "../testing-addon.js";

/** One repetition calls an op as often as fits in this. */
const BLOCK_SECONDS = { full: 0.05, quick: 0.01 } as const;

export const ops: Suite = async function* (context) {
  for (const one of [...matmulCases, ...attentionCases, ...rowCases]) {
    if (!context.wants(one.id)) continue;
    yield* await attempt(one.id, unitOf(one), () => measureOp(context, one));
  }
};

const unitOf = ({ limit }: OpCase) => (limit === "memory" ? "GB/s" : "GFLOP/s");

async function measureOp(context: BenchContext, one: OpCase): Promise<Row[]> {
  const { cpu, threads, peaks, quick, repeats } = context;
  const { id, op, limit, flops, bytes } = one;
  const { args, check, peers = [] } = one.prepare(context);
  check();
  const time = (calls: number) => testingAddon.timeOp(cpu, threads, op, args, calls);
  const calls = Math.max(1, Math.ceil(BLOCK_SECONDS[quick ? "quick" : "full"] / time(1)));
  const comparison = await compare(async () => time(calls), peers, repeats);
  const secondsAtPeak =
    limit === "memory" ? bytes / (1e9 * peaks.readGigabytesPerSecond) : flops! / peakFlops(peaks, limit);
  const amount = (limit === "memory" ? bytes : flops!) / 1e9;
  const counts = { bytes, ...(flops !== undefined && { flops }) };
  return rowsOf({ id, unit: unitOf(one), amount, secondsAtPeak, ...counts }, comparison);
}
