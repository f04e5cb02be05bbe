/** The cases of all ops. */
import { activationCases } from "./activations.case.js";
import { adamwCases } from "./adamw.case.js";
import { attentionCases } from "./attention.case.js";
import { attentionDecodeCases } from "./attention-decode.case.js";
import type { Conformance } from "./conformance.js";
import { dropoutCases } from "./dropout.case.js";
import { embedCases } from "./embed.case.js";
import { layerNormCases } from "./layer-norm.case.js";
import { linearLogProbCases } from "./linear-log-prob.case.js";
import { matmulCases } from "./matmul.case.js";
import { patchEmbedCases } from "./patch-embed.case.js";
import { rmsNormCases } from "./rms-norm.case.js";
import { ropeCases } from "./rope.case.js";
import { rowCases } from "./rows.case.js";
import { sampleCases } from "./sample.case.js";

export const cases: readonly Conformance[] = [
  ...activationCases,
  ...adamwCases,
  ...attentionCases,
  ...attentionDecodeCases,
  ...dropoutCases,
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
