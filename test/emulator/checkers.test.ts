import { describe, expect, test } from "vitest";
import { type Argument, addressesByThread, type CheckOptions, findings, ptxModule, run } from "./ptx.js";

const launch = { grid: [2], block: [64] };
const output = (): Argument => ({ buffer: new Uint32Array(128), initialised: false });

interface Twins {
  name: string;
  /** PTX body with $FIX where the broken kernel has nothing. */
  body: string;
  fix: string;
  kind: string;
  args?: Argument[];
  checks?: CheckOptions;
}

/** Parameters: p0 128 uninitialised words, p1 32 words of 1. */
const twins: Twins[] = [
  {
    name: "a read of what another warp writes, without barrier",
    body: `
  st.shared.u32 [%r10], %r0;
  $FIX
  xor.b32 %r11, %r10, 128;
  ld.shared.u32 %r1, [%r11];`,
    fix: "bar.sync 0;",
    kind: "uninitialised",
  },
  {
    name: "a write over what another warp may still read",
    body: `
  st.shared.u32 [%r10], %r0;
  bar.sync 0;
  xor.b32 %r11, %r10, 128;
  ld.shared.u32 %r1, [%r11];
  $FIX
  st.shared.u32 [%r10], %r1;`,
    fix: "bar.sync 0;",
    kind: "race",
  },
  {
    name: "two warps that write the same word",
    body: `
  xor.b32 %r11, %r10, 128;
  st.shared.u32 [%r10], %r0;
  $FIX
  st.shared.u32 [%r11], %r0;
  mov.u32 %r1, 0;`,
    fix: "bar.sync 0;",
    kind: "race",
  },
  {
    name: "an exchange within a warp without bar.warp.sync",
    body: `
  st.shared.u32 [%r10], %r0;
  $FIX
  xor.b32 %r11, %r10, 4;
  ld.shared.u32 %r1, [%r11];`,
    fix: "bar.warp.sync -1;",
    kind: "race",
  },
  {
    name: "a shuffle in place of bar.warp.sync, which orders no memory",
    body: `
  st.shared.u32 [%r10], %r0;
  shfl.sync.bfly.b32 %r12, %r0, 1, 31, -1;
  $FIX
  xor.b32 %r11, %r10, 4;
  ld.shared.u32 %r1, [%r11];`,
    fix: "bar.warp.sync -1;",
    kind: "race",
  },
  {
    name: "bar.warp.sync of pairs in place of quads",
    body: `
  and.b32 %r20, %r2, 28;
  mov.u32 %r21, 15;
  shl.b32 %r21, %r21, %r20;
  and.b32 %r22, %r2, 30;
  mov.u32 %r23, 3;
  shl.b32 %r23, %r23, %r22;
  st.shared.u32 [%r10], %r0;
  bar.warp.sync %r23;
  $FIX
  xor.b32 %r11, %r10, 8;
  ld.shared.u32 %r1, [%r11];`,
    fix: "bar.warp.sync %r21;",
    kind: "race",
  },
  {
    name: "a plain access beside atomics",
    body: `
  st.shared.u32 [%r10], 0;
  bar.sync 0;
  red.shared.add.u32 [words], %r0;
  $FIX
  ld.shared.u32 %r1, [words];`,
    fix: "bar.sync 0;",
    kind: "race",
  },
  {
    name: "shared memory that nobody wrote",
    body: `
  setp.ne.u32 %p0, %r3, 7;
  @%p0 st.shared.u32 [%r10], %r0;
  $FIX
  bar.sync 0;
  ld.shared.u32 %r1, [%r10];`,
    fix: "@!%p0 st.shared.u32 [%r10], 0;",
    kind: "uninitialised",
  },
  {
    name: "global memory that nobody wrote",
    body: `
  $FIX
  ld.global.u32 %r1, [%rd0];`,
    fix: "st.global.u32 [%rd0], 5;",
    kind: "uninitialised",
  },
  {
    name: "a load past the end of its allocation",
    body: `
  mov.u32 %r11, %r3;
  $FIX
  mad.wide.u32 %rd5, %r11, 4, %rd1;
  ld.global.u32 %r1, [%rd5];`,
    fix: "and.b32 %r11, %r11, 31;",
    kind: "out_of_bounds",
  },
  {
    name: "a store to a pointer that is none",
    body: `
  mov.b64 %rd5, 4096;
  mov.u32 %r1, 3;
  $FIX
  st.global.u32 [%rd5], %r1;`,
    fix: "mov.b64 %rd5, %rd0;",
    kind: "out_of_bounds",
  },
  {
    name: "shared memory past its end",
    body: `
  mov.u32 %r1, 0;
  $FIX
  st.shared.u32 [%r10+260], %r0;`,
    fix: "setp.eq.u32 %p0, %r3, 63; @%p0 bra DONE;",
    kind: "out_of_bounds",
  },
  {
    name: "a 16-byte load at an address that is no multiple of 16",
    body: `
  add.u64 %rd5, %rd1, 4;
  $FIX
  ld.global.v4.u32 {%r1, %r12, %r13, %r14}, [%rd5];`,
    fix: "mov.b64 %rd5, %rd1;",
    kind: "misaligned",
  },
  {
    name: "an 8-byte store to shared memory at an odd word",
    body: `
  mov.u32 %r11, words;
  setp.ne.u32 %p0, %r3, 0;
  @%p0 bra DONE;
  add.u32 %r11, %r11, 4;
  $FIX
  st.shared.v2.u32 [%r11], {%r0, %r0};
  mov.u32 %r1, 0;`,
    fix: "add.u32 %r11, %r11, 4;",
    kind: "misaligned",
  },
  {
    name: "a read of bytes that a cp.async still owns",
    body: `
  cp.async.ca.shared.global [%r10], [%rd2], 4;
  cp.async.commit_group;
  $FIX
  ld.shared.u32 %r1, [%r10];
  cp.async.wait_all;`,
    fix: "cp.async.wait_group 0;",
    kind: "async_copy",
  },
  {
    name: "a wait for one group too few",
    body: `
  cp.async.ca.shared.global [%r10], [%rd2], 4;
  cp.async.commit_group;
  cp.async.ca.shared.global [%r10+256], [%rd2], 4;
  cp.async.commit_group;
  cp.async.wait_group 1;
  $FIX
  ld.shared.u32 %r1, [%r10+256];
  cp.async.wait_all;`,
    fix: "cp.async.wait_group 0;",
    kind: "async_copy",
  },
  {
    name: "a copy that another warp reads without a barrier behind the wait",
    body: `
  cp.async.ca.shared.global [%r10], [%rd2], 4;
  cp.async.wait_all;
  $FIX
  xor.b32 %r11, %r10, 4;
  ld.shared.u32 %r1, [%r11];`,
    fix: "bar.sync 0;",
    kind: "race",
  },
  {
    name: "a copy into a buffer that others still read",
    body: `
  st.shared.u32 [%r10], %r0;
  bar.sync 0;
  xor.b32 %r11, %r10, 128;
  ld.shared.u32 %r1, [%r11];
  $FIX
  cp.async.ca.shared.global [%r10], [%rd2], 4;
  cp.async.wait_all;`,
    fix: "bar.sync 0;",
    kind: "race",
  },
  {
    name: "a thread that ends without waiting for its copies",
    body: `
  cp.async.ca.shared.global [%r10], [%rd2], 4;
  cp.async.commit_group;
  mov.u32 %r1, 0;
  $FIX`,
    fix: "cp.async.wait_all;",
    kind: "async_copy",
  },
];

const moduleOf = (body: string) =>
  ptxModule(
    ["u64", "u64"],
    `
  .shared .align 16 .b8 words[512];
${addressesByThread([4])}
  ld.param.u64 %rd1, [p1];
  mov.u32 %r2, %laneid;
  mov.u32 %r3, %tid.x;
  and.b32 %r4, %r2, 31;
  mad.wide.u32 %rd2, %r4, 4, %rd1;
  mov.u32 %r10, words;
  mad.lo.u32 %r10, %r3, 4, %r10;
${body}
DONE:
  st.global.u32 [%rd0], %r1;`,
  );

const argumentsOf = (): Argument[] => [output(), { buffer: new Uint32Array(32).fill(1) }];

describe("the checkers find", () => {
  test.each(twins)("$name", ({ body, fix, kind }) => {
    const broken = body.replace("$FIX", "");
    const corrected = body.replace("$FIX", fix);
    for (const asyncCopies of ["late", "early", "random"] as const)
      for (const randomInterleaving of [false, true]) {
        const checks = { asyncCopies, randomInterleaving };
        const found = findings(moduleOf(broken), launch, argumentsOf(), checks);
        // In another order of the warps an unordered pair shows as a race instead of as a read before the write.
        const kinds = kind === "uninitialised" ? [kind, "race"] : [kind];
        expect(kinds).toContain(found[0]!.kind);
        expect(found[0]).toMatchObject({ kernel: "kernel", block: [0, 0, 0] });
        // What was broken is named by its line in the PTX.
        expect(moduleOf(broken).split("\n")[found[0]!.ptxLine - 1]).toMatch(/ld\.|st\.|cp\.async|red\.|ret/);
        run(moduleOf(corrected), launch, argumentsOf(), checks);
      }
  });

  test("what they are told to look for only", () => {
    const race = moduleOf(twins[3]!.body.replace("$FIX", ""));
    run(race, launch, argumentsOf(), { races: false });
    const uninitialised = moduleOf(twins[8]!.body.replace("$FIX", ""));
    run(uninitialised, launch, argumentsOf(), { initialisation: false });
  });

  test("neighbouring halves of a word to be different memory", () => {
    const body = `
  mov.u32 %r11, words;
  mad.lo.u32 %r11, %r3, 2, %r11;
  cvt.u16.u32 %rs1, %r3;
  st.shared.u16 [%r11], %rs1;
  ld.shared.u16 %r1, [%r11];`;
    run(moduleOf(body), launch, argumentsOf());
    const neighbour = body.replace(
      "ld.shared.u16 %r1, [%r11]",
      "xor.b32 %r11, %r11, 2;\n  ld.shared.u16 %r1, [%r11]",
    );
    expect(findings(moduleOf(neighbour), launch, argumentsOf())[0]).toMatchObject({ kind: "race" });
  });

  test("at most ten instructions, each named once", () => {
    const body = Array.from({ length: 14 }, (_, k) => `  ld.global.u32 %r1, [%rd0+${4 * k}];`).join("\n");
    const found = findings(moduleOf(body), launch, argumentsOf());
    expect(found.length).toBe(10);
    expect(new Set(found.map((finding) => finding.ptxLine)).size).toBe(10);
  });
});

describe("bank conflicts", () => {
  /** Wavefronts and their ideal of one load per lane of `words` words, lanes `stride` bytes apart. */
  function wavefronts(type: string, registers: string, stride: number): number[] {
    const body = `
  mov.u32 %r11, big;
  mad.lo.u32 %r11, %r3, ${stride}, %r11;
  ld.shared.${type} ${registers}, [%r11];`;
    const ptx = ptxModule([], `  .shared .align 16 .b8 big[4096];\n  mov.u32 %r3, %tid.x;\n${body}`);
    const traffic = run(ptx, { grid: [1], block: [32] }, [], { countTraffic: true, initialisation: false });
    return [traffic.sharedWavefronts, traffic.sharedIdealWavefronts];
  }

  test.each([
    ["f32", "%f1", 4, 1, 1],
    ["f32", "%f1", 0, 1, 1],
    ["f32", "%f1", 8, 2, 1],
    ["f32", "%f1", 128, 32, 1],
    ["u16", "%rs1", 2, 1, 1],
    ["v2.f32", "{%f1, %f2}", 8, 2, 2],
    ["v4.f32", "{%f1, %f2, %f3, %f4}", 16, 4, 4],
    ["v4.f32", "{%f1, %f2, %f3, %f4}", 128, 32, 4],
  ])("%s %s every %i bytes: %i wavefronts, ideal %i", (type, registers, stride, count, ideal) => {
    expect(wavefronts(type, registers, stride)).toEqual([count, ideal]);
  });
});
