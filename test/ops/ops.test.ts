import { describe, expect, test } from "vitest";
import { cases } from "./cases.js";
import { backends, opNames } from "./native-ops.js";

test("every op has a case", () => {
  expect([...new Set(cases.map(({ op }) => op))].sort()).toEqual([...opNames].sort());
});

describe.each(cases.map((c) => [c.op, c.title, c] as const))("%s with %s", (_op, _title, c) => {
  const { checkEquivalents, checkDerivative } = c;
  if (checkDerivative) test("has the derivative of its forward pass as its reference", checkDerivative);
  const ways = backends.flatMap((backend) =>
    c.storages.map((storage) => [backend.name, storage, backend] as const),
  );
  describe.each(ways)("on %s, stored as %s", (_name, storage, backend) => {
    test("errs no more than rounding would", () => c.checkAccuracy(backend, storage));
    test("gives the same bits on any number of threads and when repeated", () =>
      c.checkRepeatability(backend, storage));
    if (checkEquivalents)
      test("gives the same bits in every equivalent call", () => checkEquivalents(backend, storage));
  });
});
