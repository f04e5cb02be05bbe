import { describe, expect, test } from "vitest";
import { activationCases } from "./activations.case.js";
import { adamwCases } from "./adamw.case.js";
import { attentionCases } from "./attention.case.js";
import { attentionDecodeCases } from "./attention-decode.case.js";
import type { Conformance } from "./conformance.js";
import { embedCases } from "./embed.case.js";
import { layerNormCases } from "./layer-norm.case.js";
import { linearLogProbCases } from "./linear-log-prob.case.js";
import { matmulCases } from "./matmul.case.js";
import { backends, opNames } from "./native-ops.js";
import { patchEmbedCases } from "./patch-embed.case.js";
import { rmsNormCases } from "./rms-norm.case.js";
import { ropeCases } from "./rope.case.js";
import { rowCases } from "./rows.case.js";
import { sampleCases } from "./sample.case.js";

const cases: readonly Conformance[] = [
  ...activationCases,
  ...adamwCases,
  ...attentionCases,
  ...attentionDecodeCases,
  ...embedCases,
  ...layerNormCases,
  ...linearLogProbCases,
  ...matmulCases,
  ...patchEmbedCases,
  ...rmsNormCases,
  ...ropeCases,
  ...rowCases,
  ...sampleCases,
];

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
