import { describe, expect, test } from "vitest";
import { withoutCuda } from "../emulated-cuda.js";
import { cases } from "./cases.js";
import { cudaEmulated as backend } from "./native-ops.js";

/**
 * The CUDA kernels as PTX on the interpreter, with its checks of races, bounds and initialisation, against the same float64
 * references and with the same tolerances as the CPU's ops.
 */
describe.skipIf(withoutCuda !== "").each(cases.map((c) => [c.op, c.title, c] as const))(
  `%s with %s on ${backend.name}${withoutCuda}`,
  (_op, _title, c) => {
    const { checkEquivalents, multiplies } = c;
    describe.each(c.storages)("stored as %s", (storage) => {
      test("errs no more than rounding would", () => c.checkAccuracy(backend, storage));
      test("gives the same bits whatever the order of streams, warps and copies", () =>
        c.checkRepeatability(backend, storage));
      if (checkEquivalents && (backend.sumsInFixedOrder || !multiplies))
        test("gives the same bits in every equivalent call", () => checkEquivalents(backend, storage));
    });
  },
);

test.skipIf(withoutCuda !== "")(`what the emulator finds fails the op${withoutCuda}`, () => {
  const args = { x: new Float32Array(5), y: new Float32Array(4), count: 5, kind: "gelu_tanh" };
  expect(() => backend.run("gelu", args)).toThrow(
    /a store of 4 bytes at offset 16 of an allocation of 16 bytes[\s\S]*elements\.cuh:\d+/,
  );
});
