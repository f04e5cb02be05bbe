import { describe, expect, test } from "vitest";
import { addressesByThread, findings, isas, native, onIsa, ptxModule, run } from "./ptx.js";

const iota = (count: number) => Uint32Array.from({ length: count }, (_, k) => k);

/** A kernel that stores %r1 of every thread; the body may use the thread number %r0 and the lane in %r2. */
const perThread = (body: string) =>
  ptxModule(
    ["u64"],
    `${addressesByThread([4])}
  mov.u32 %r2, %laneid;
${body}
  st.global.u32 [%rd0], %r1;`,
  );

function results(body: string, threads = 64, checks = {}): number[] {
  const output = new Uint32Array(threads);
  run(perThread(body), { grid: [1], block: [threads] }, [{ buffer: output, initialised: false }], checks);
  return Array.from(output);
}

describe("control flow", () => {
  test("lanes that branch apart do their own work and come together again", () => {
    const body = `
  and.b32 %r3, %r0, 3;
  setp.lt.u32 %p0, %r3, 2;
  @%p0 bra LOW;
  mul.lo.u32 %r1, %r0, 10;
  setp.eq.u32 %p1, %r3, 3;
  @!%p1 bra JOIN;
  add.u32 %r1, %r1, 5;
  bra JOIN;
LOW:
  add.u32 %r1, %r0, 1000;
JOIN:
  activemask.b32 %r4;
  setp.ne.u32 %p2, %r4, -1;
  @%p2 add.u32 %r1, %r1, 1000000;`;
    expect(results(body)).toEqual(
      Array.from(iota(64), (k) => (k % 4 < 2 ? k + 1000 : k * 10 + (k % 4 === 3 ? 5 : 0))),
    );
  });

  test("a loop runs as often as each lane asks for", () => {
    const body = `
  mov.u32 %r1, 0;
  mov.u32 %r3, 0;
LOOP:
  add.u32 %r1, %r1, %r3;
  add.u32 %r3, %r3, 1;
  setp.le.u32 %p0, %r3, %r0;
  @%p0 bra LOOP;`;
    expect(results(body, 70)).toEqual(Array.from(iota(70), (k) => (k * (k + 1)) / 2));
  });

  test("labels and registers of braces are their own", () => {
    const body = `
  mov.u32 %r1, 1;
  {
    .reg .pred p;
    .reg .b32 %r1;
    mov.u32 %r1, 7;
    setp.eq.u32 p, %r1, 7;
    @p bra DONE;
    mov.u32 %r5, 0;
    DONE:
    mov.u32 %r5, %r1;
  }
  { .reg .pred p; setp.ne.u32 p, %r5, 7; @p bra DONE; add.u32 %r1, %r1, %r5; DONE: }`;
    expect(new Set(results(body, 32))).toEqual(new Set([8]));
  });

  test("an endless loop is a finding, not a hang", () => {
    const ptx = perThread("LOOP:\n  bra LOOP;\n  mov.u32 %r1, 0;");
    const checks = { instructionsPerBlock: 10_000 };
    const [finding] = findings(ptx, { grid: [1], block: [32] }, [{ buffer: new Uint32Array(32) }], checks);
    expect(finding).toMatchObject({ kind: "budget" });
  });

  test("special registers name a thread's place", () => {
    const names = [
      "%tid.x",
      "%tid.y",
      "%tid.z",
      "%ctaid.x",
      "%ctaid.y",
      "%ctaid.z",
      "%laneid",
      "%warpid",
      "%nctaid.y",
    ];
    const count = names.length;
    // Number of the thread in the grid, x fastest, blocks of 4 x 5 x 3 in a grid of 2 x 3 x 2.
    const ptx = ptxModule(
      ["u64"],
      `
  mov.u32 %r1, %ctaid.z; mov.u32 %r2, %nctaid.y; mov.u32 %r3, %ctaid.y; mad.lo.u32 %r1, %r1, %r2, %r3;
  mov.u32 %r2, %nctaid.x; mov.u32 %r3, %ctaid.x; mad.lo.u32 %r1, %r1, %r2, %r3;
  mov.u32 %r2, %ntid.z; mov.u32 %r3, %tid.z; mad.lo.u32 %r1, %r1, %r2, %r3;
  mov.u32 %r2, %ntid.y; mov.u32 %r3, %tid.y; mad.lo.u32 %r1, %r1, %r2, %r3;
  mov.u32 %r2, %ntid.x; mov.u32 %r3, %tid.x; mad.lo.u32 %r1, %r1, %r2, %r3;
  ld.param.u64 %rd0, [p0];
  mad.wide.u32 %rd0, %r1, ${4 * count}, %rd0;
${names.map((name, k) => `  mov.u32 %r4, ${name}; st.global.u32 [%rd0+${4 * k}], %r4;`).join("\n")}`,
    );
    const output = new Uint32Array(2 * 3 * 2 * 60 * count);
    run(ptx, { grid: [2, 3, 2], block: [4, 5, 3] }, [{ buffer: output, initialised: false }]);
    for (let thread = 0; thread < 720; thread++) {
      const inBlock = thread % 60;
      const block = Math.floor(thread / 60);
      expect(Array.from(output.subarray(thread * count, (thread + 1) * count))).toEqual([
        inBlock % 4,
        Math.floor(inBlock / 4) % 5,
        Math.floor(inBlock / 20),
        block % 2,
        Math.floor(block / 2) % 3,
        Math.floor(block / 6),
        inBlock % 32,
        Math.floor(inBlock / 32),
        3,
      ]);
    }
  });
});

describe("warp-wide instructions", () => {
  test("shuffles move values within segments", () => {
    const shuffle = (mode: string, by: number, clamp: number) =>
      results(
        `  shfl.sync.${mode}.b32 %r1|%p0, %r0, ${by}, ${clamp}, -1;\n  @!%p0 add.u32 %r1, %r1, 100;`,
        32,
      );
    const lanes = Array.from(iota(32));
    expect(shuffle("bfly", 5, 31)).toEqual(lanes.map((lane) => lane ^ 5));
    expect(shuffle("down", 3, 31)).toEqual(lanes.map((lane) => (lane + 3 < 32 ? lane + 3 : lane + 100)));
    expect(shuffle("up", 3, 0)).toEqual(lanes.map((lane) => (lane >= 3 ? lane - 3 : lane + 100)));
    expect(shuffle("idx", 9, 31)).toEqual(lanes.map(() => 9));
    // Segments of 8 lanes: the upper bits of the clamp operand are the segment mask.
    expect(shuffle("down", 3, 0x181f)).toEqual(lanes.map((lane) => (lane % 8 < 5 ? lane + 3 : lane + 100)));
    expect(shuffle("idx", 5, 0x181f)).toEqual(lanes.map((lane) => (lane & ~7) + 5));
  });

  test("votes and reductions see the lanes of the mask", () => {
    expect(new Set(results("  setp.gt.u32 %p0, %r2, 29;\n  vote.sync.ballot.b32 %r1, %p0, -1;", 32))).toEqual(
      new Set([0xc0000000]),
    );
    const quarters = `
  shr.u32 %r3, %r2, 3;
  shl.b32 %r3, %r3, 3;
  shl.b32 %r4, 255, %r3;`;
    expect(results(`${quarters}\n  redux.sync.add.s32 %r1, %r2, %r4;`, 32)).toEqual(
      Array.from(iota(32), (lane) => 8 * (lane & ~7) + 28),
    );
    expect(
      results(
        `${quarters}\n  setp.ne.u32 %p0, %r2, 9;\n  vote.sync.all.pred %p1, %p0, %r4;\n  selp.u32 %r1, 1, 0, %p1;`,
        32,
      ),
    ).toEqual(Array.from(iota(32), (lane) => (lane >= 8 && lane < 16 ? 0 : 1)));
    expect(new Set(results("  sub.s32 %r3, %r2, 20;\n  redux.sync.min.s32 %r1, %r3, -1;", 32))).toEqual(
      new Set([2 ** 32 - 20]),
    );
    expect(new Set(results("  redux.sync.xor.b32 %r1, %r0, -1;", 32))).toEqual(new Set([0]));
  });

  test("a warp-wide instruction waits for lanes that come later", () => {
    const body = `
  setp.lt.u32 %p0, %r2, 16;
  @%p0 bra MEET;
  bra LATER;
MEET:
  shfl.sync.bfly.b32 %r1, %r0, 16, 31, -1;
  bra END;
LATER:
  add.u32 %r3, %r0, 0;
  bra MEET;
END:`;
    expect(results(body, 32)).toEqual(Array.from(iota(32), (lane) => lane ^ 16));
  });

  test("a mask that names lanes which never come is a finding", () => {
    const body = `
  setp.lt.u32 %p0, %r2, 16;
  mov.u32 %r1, 0;
  @%p0 bra END;
  shfl.sync.bfly.b32 %r1, %r0, 1, 31, -1;
END:
  bar.warp.sync -1;`;
    const [finding] = findings(perThread(body), { grid: [1], block: [32] }, [
      { buffer: new Uint32Array(32) },
    ]);
    expect(finding).toMatchObject({ kind: "divergence", ptxLine: expect.any(Number) });
    // With the mask of the lanes that are there it is none.
    expect(results(body.replace("31, -1", "31, 0xffff0000"), 32).slice(16)).toEqual(
      Array.from(iota(16), (k) => (k + 16) ^ 1),
    );
  });
});

/** Sums 128 values of a block through shared memory, warps that have nothing to do leave early. */
const blockSum = ptxModule(
  ["u64", "u32"],
  `
  .shared .align 4 .b8 sums[512];
  mov.u32 %r0, %tid.x;
  ld.param.u32 %r1, [p1];
  setp.ge.u32 %p0, %r0, %r1;
  @%p0 bra END;
  shl.b32 %r2, %r0, 2;
  mov.u32 %r3, sums;
  add.u32 %r4, %r3, %r2;
  mul.lo.u32 %r5, %r0, 3;
  st.shared.u32 [%r4], %r5;
  shr.u32 %r6, %r1, 1;
LOOP:
  bar.sync 0;
  setp.ge.u32 %p1, %r0, %r6;
  @%p1 bra SKIP;
  shl.b32 %r7, %r6, 2;
  add.u32 %r7, %r4, %r7;
  ld.shared.u32 %r8, [%r7];
  ld.shared.u32 %r9, [%r4];
  add.u32 %r9, %r9, %r8;
  st.shared.u32 [%r4], %r9;
SKIP:
  shr.u32 %r6, %r6, 1;
  setp.ne.u32 %p2, %r6, 0;
  @%p2 bra LOOP;
  setp.ne.u32 %p3, %r0, 0;
  @%p3 bra END;
  ld.param.u64 %rd0, [p0];
  ld.shared.u32 %r9, [sums];
  st.global.u32 [%rd0], %r9;
END:`,
);

test("a shuffle from a lane that has ended is a finding", () => {
  const body = `
  setp.lt.u32 %p0, %r2, 16;
  @%p0 exit;
  shfl.sync.bfly.b32 %r1, %r0, 16, 31, -1;`;
  const [finding] = findings(perThread(body), { grid: [1], block: [32] }, [{ buffer: new Uint32Array(32) }]);
  expect(finding).toMatchObject({ kind: "divergence", lane: 16 });
});

describe("block barriers", () => {
  test.each([32, 64, 128])("a tree sum of %i threads, the other warps having left", (threads) => {
    for (const randomInterleaving of [false, true])
      for (const seed of [1, 2, 3]) {
        const output = new Uint32Array(1);
        const args = [{ buffer: output, initialised: false }, { u32: threads }];
        const traffic = run(blockSum, { grid: [1], block: [128] }, args, { randomInterleaving, seed });
        expect(output[0]).toBe((3 * threads * (threads - 1)) / 2);
        expect(traffic.barriers).toBe((threads / 32) * Math.log2(threads));
      }
  });

  test("a barrier that part of a warp has left is a finding", () => {
    const args = [{ buffer: new Uint32Array(1) }, { u32: 16 }];
    expect(findings(blockSum, { grid: [1], block: [64] }, args)[0]).toMatchObject({
      kind: "barrier",
      warp: 0,
    });
  });

  test("a barrier inside of a branch that a warp is split over is a finding", () => {
    const ptx = ptxModule(
      [],
      "  mov.u32 %r0, %laneid;\n  setp.lt.u32 %p0, %r0, 7;\n  @%p0 bra END;\n  bar.sync 0;\nEND:\n  bar.sync 0;",
    );
    expect(findings(ptx, { grid: [1], block: [32] }, [])[0]).toMatchObject({ kind: "barrier" });
  });

  test("warps that wait for each other at different barriers are a finding", () => {
    const ptx = ptxModule([], "  mov.u32 %r0, %warpid;\n  bar.sync %r0, 64;");
    const found = findings(ptx, { grid: [1], block: [64] }, []);
    expect(found.map((finding) => finding.kind)).toContain("barrier");
    expect(found[0]!.message).toMatch(/never completes/);
  });

  /** Warp 0 writes, warps 0 and 1 meet at a named barrier, warp 1 reads; warps 2 and 3 do the same at another. */
  const pairs = (barrier: string) =>
    ptxModule(
      ["u64"],
      `
  .shared .align 4 .b8 buffer[512];
  mov.u32 %r0, %tid.x;
  mov.u32 %r1, buffer;
  shl.b32 %r2, %r0, 2;
  add.u32 %r1, %r1, %r2;
  shr.u32 %r3, %r0, 6;
  add.u32 %r3, %r3, 1;
  and.b32 %r4, %r0, 32;
  setp.ne.u32 %p0, %r4, 0;
  @%p0 bra READ;
  st.shared.u32 [%r1], %r0;
  ${barrier.includes("arrive") ? "bar.arrive %r3, 64;" : barrier}
  bra END;
READ:
  ${barrier.includes("arrive") ? "bar.sync %r3, 64;" : barrier}
  ld.shared.u32 %r5, [%r1-128];
  ld.param.u64 %rd0, [p0];
  mad.wide.u32 %rd0, %r0, 4, %rd0;
  st.global.u32 [%rd0-128], %r5;
END:`.replaceAll("-128]", "+-128]"),
    );

  test.each(["bar.sync %r3, 64;", "arrive"])("named barriers order the warps that meet: %s", (barrier) => {
    for (const seed of [1, 2, 3, 4]) {
      const output = new Uint32Array(128);
      run(pairs(barrier), { grid: [1], block: [128] }, [{ buffer: output }], {
        randomInterleaving: true,
        seed,
      });
      expect(Array.from(output.subarray(0, 32))).toEqual(Array.from(iota(32)));
      expect(Array.from(output.subarray(64, 96))).toEqual(Array.from(iota(32), (k) => k + 64));
    }
  });

  test("without the barrier they race", () => {
    const kinds = findings(pairs(""), { grid: [1], block: [128] }, [{ buffer: new Uint32Array(128) }]).map(
      (f) => f.kind,
    );
    expect(kinds).toContain("race");
  });
});

describe("a launch", () => {
  /** Block b adds its number to a counter with every thread and stores the square of each thread's number. */
  const squares = ptxModule(
    ["u64", "u64"],
    `${addressesByThread([4])}
  mul.lo.u32 %r1, %r0, %r0;
  st.global.u32 [%rd0], %r1;
  ld.param.u64 %rd1, [p1];
  mov.u32 %r2, %ctaid.x;
  red.global.add.u32 [%rd1], %r2;
  atom.global.max.u32 %r3, [%rd1+4], %r0;`,
  );

  test("gives the same on one and on several host threads, on every instruction-set path", () => {
    for (const isa of isas)
      for (const threads of [1, 2, 5]) {
        const output = new Uint32Array(64 * 96);
        const counters = new Uint32Array(2);
        const args = [{ buffer: output, initialised: false }, { buffer: counters }];
        const traffic = onIsa(isa, () => run(squares, { grid: [64], block: [96] }, args, {}, { threads }));
        expect(Array.from(output)).toEqual(Array.from(iota(64 * 96), (k) => k * k));
        expect(Array.from(counters)).toEqual([(96 * 64 * 63) / 2, 64 * 96 - 1]);
        expect(traffic.warpInstructions).toBe(64 * 3 * 13);
      }
  });

  test("reports the first failing block whatever the number of host threads", () => {
    const ptx = ptxModule(["u64"], `${addressesByThread([4])}\n  st.global.u32 [%rd0], %r0;`);
    for (const threads of [1, 4]) {
      const short = { buffer: new Uint32Array(5 * 32 + 7) };
      const found = findings(ptx, { grid: [40], block: [32] }, [short], {}, { threads });
      expect(found).toEqual([
        expect.objectContaining({
          kind: "out_of_bounds",
          block: [5, 0, 0],
          warp: 0,
          lane: 7,
          kernel: "kernel",
        }),
      ]);
    }
  });

  test.each([
    [{ grid: [0], block: [32] }, /grid/],
    [{ grid: [1], block: [1025] }, /block/],
    [{ grid: [1], block: [32], sharedBytes: 164 * 1024 }, /sharedBytes|shared memory/],
  ])("that no GPU accepts is refused: %j", (size, message) => {
    expect(() => native.runPtx(ptxModule([], ""), "kernel", size, [], {}, 1)).toThrow(message);
  });
});
