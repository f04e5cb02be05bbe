import type { Profile } from "../../src/native/types.js";

/**
 * 12 ms of an engine with two ops:
 *
 *     0   1   2   3   4   5   6   7   8   9  10  11  12
 *     generate--------------- idle--- forward---------
 *         decode---------             matmul--    add-
 *         matmul 1 x 4 x 2, then 8 x 4 x 2 twice in all
 */
export function handMadeProfile(): Profile {
  const events: [name: string, start: number, end: number, flops: number, bytes: number, shape: number[]][] =
    [
      ["generate", 0, 6, 0, 0, []],
      ["decode", 1, 5, 0, 0, []],
      ["matmul", 1, 2, 16, 56, [1, 4, 2]],
      ["matmul", 2, 5, 128, 224, [8, 4, 2]],
      ["forward", 8, 12, 0, 0, []],
      ["matmul", 8, 10, 128, 224, [8, 4, 2]],
      ["add", 11, 12, 32, 384, [32]],
    ];
  const names = ["matmul", "add", "none", "generate", "decode", "forward"];
  return {
    milliseconds: 12,
    busyMilliseconds: 10,
    ops: [
      { op: "matmul", call: "decode", calls: 2, milliseconds: 4, flops: 144, bf16Flops: 0, bytes: 280 },
      { op: "matmul", call: "forward", calls: 1, milliseconds: 2, flops: 128, bf16Flops: 0, bytes: 224 },
      { op: "add", call: "forward", calls: 1, milliseconds: 1, flops: 32, bf16Flops: 0, bytes: 384 },
    ],
    calls: [
      { call: "none", calls: 0, milliseconds: 0, nestedMilliseconds: 0 },
      { call: "generate", calls: 1, milliseconds: 6, nestedMilliseconds: 4 },
      { call: "decode", calls: 1, milliseconds: 4, nestedMilliseconds: 0 },
      { call: "forward", calls: 1, milliseconds: 4, nestedMilliseconds: 0 },
    ],
    names,
    opCount: 2,
    events: {
      kinds: Int32Array.from(events, ([name]) => names.indexOf(name)),
      startsMs: Float64Array.from(events, ([, start]) => start),
      endsMs: Float64Array.from(events, ([, , end]) => end),
      flops: Float64Array.from(events, ([, , , flops]) => flops),
      bf16Flops: new Float64Array(events.length),
      bytes: Float64Array.from(events, ([, , , , bytes]) => bytes),
      shapes: Float64Array.from(
        events.flatMap(([, , , , , shape]) => [0, 1, 2, 3].map((i) => shape[i] ?? -1)),
      ),
    },
    eventsLeftOut: 0,
  };
}
