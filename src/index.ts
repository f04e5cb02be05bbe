/**
 * Sightline's public API.
 *
 * A program of one's own usually needs `VlmPolicy`, environments, and `ppo` or `sft`; `train` adds what the command line
 * does around them (run folder, checkpoints, evaluation, report).
 */

// Environments
export type {
  ActionSpace,
  Environment,
  EpisodeOutcome,
  Expert,
  Frame,
  ResetResult,
  StepResult as EnvironmentStep,
} from "../envs/env.js";
export { NoEpisodeError, OutOfRangeError } from "../envs/errors.js";
export { Blackjack, type BlackjackInfo, type BlackjackOptions } from "../envs/gym-cards/blackjack.js";
export { BlackjackExpert } from "../envs/gym-cards/blackjack-expert.js";
export {
  type BlackjackObjective,
  BlackjackStrategy,
  type HandTotal,
  handTotal,
} from "../envs/gym-cards/blackjack-strategy.js";
export type { ExpertOptions } from "../envs/gym-cards/expert.js";
export { EZPoints } from "../envs/gym-cards/ez-points.js";
export { EZPointsExpert } from "../envs/gym-cards/ez-points-expert.js";
export type { FormulaGameOptions, FormulaInfo } from "../envs/gym-cards/formula-game.js";
export { type FormulaRules, FormulaSolver } from "../envs/gym-cards/formula-solver.js";
export { FrameMemory } from "../envs/gym-cards/frame-memory.js";
export {
  NumberLine,
  type NumberLineInfo,
  type NumberLineOptions,
  type NumberLineState,
} from "../envs/gym-cards/number-line.js";
export { NumberLineExpert } from "../envs/gym-cards/number-line-expert.js";
export { Points24 } from "../envs/gym-cards/points24.js";
export { Points24Expert } from "../envs/gym-cards/points24-expert.js";
export { projectAction } from "../envs/gym-cards/projection.js";
export {
  black,
  type Color,
  createFrame,
  drawStrip,
  drawText,
  type Font,
  type FontName,
  loadFont,
  white,
  withFrame,
} from "../envs/gym-cards/rendering.js";

// Algorithms
export { AlgorithmError } from "./algorithms/algorithm-error.js";
export {
  type Demonstration,
  type DemonstrationSource,
  type DemonstratorOptions,
  demonstratedEpisodes,
  type EpisodeDemonstration,
  ExpertDemonstrations,
  type ExpertWalk,
} from "./algorithms/demonstrations.js";
export { type PpoConfig, type PpoOptions, type PpoState, type PpoUpdate, ppo } from "./algorithms/ppo.js";
export { ppoMetrics } from "./algorithms/ppo-metrics.js";
export { noQuirks, type PpoQuirks } from "./algorithms/quirks.js";
export {
  type SftConfig,
  type SftOptions,
  type SftState,
  type SftUpdate,
  sft,
  sftMetrics,
} from "./algorithms/sft.js";

// Model folders
export { CheckpointError } from "./models/checkpoint-error.js";
export { ImageSettingError, type ImageSettings } from "./models/image-settings.js";
export { LoraModulesError } from "./models/linear-layers.js";
export { PromptError } from "./models/prompts.js";

// The native engine
export { probeCuda } from "./native/cuda.js";
export { Engine } from "./native/engine.js";
export { SightlineError } from "./native/errors.js";
export { measurePeaks } from "./native/peaks.js";
export type * from "./native/types.js";

// Policies
export type { Policy, RespondOptions, Response } from "./policy/policy.js";
export { VlmPolicy, type VlmPolicyOptions } from "./policy/vlm-policy.js";

// Random numbers
export { deriveKey, philox, Random, stream } from "./random.js";

// The mathematics of reinforcement learning
export { normalizeAdvantages } from "./rl/advantages.js";
export { type AdvantageEstimate, type GaeStep, generalizedAdvantages } from "./rl/gae.js";
export {
  clippedSurrogate,
  klK3,
  klK3Gradient,
  type SurrogateBounds,
  type SurrogateLoss,
  type ValueLoss,
  valueLoss,
} from "./rl/ppo-objective.js";
export { cosineSchedule, periodicCosine, type Schedule } from "./rl/schedule.js";
export {
  actionStart,
  type ResponseParts,
  responseParts,
  type Span,
  tokenWeights,
  weightedLogProb,
} from "./rl/thought-weights.js";

// Rollouts
export { Collector, type CollectorOptions } from "./rollout/collector.js";
export { EnvironmentError } from "./rollout/environment-error.js";
export type {
  EnvironmentState,
  FinishedEpisode,
  Rollout,
  Trajectory,
  Transition,
} from "./rollout/trajectory.js";

// Runs
export { type PpoRunConfig, parseConfig, type RunConfig, type SftRunConfig } from "./train/config.js";
export { ConfigError } from "./train/config-error.js";
export {
  DemonstrationData,
  DemonstrationDataError,
  type DemonstrationRecord,
  readDemonstrations,
} from "./train/demonstration-data.js";
export {
  type DecisionFaults,
  type EvaluateOptions,
  type Evaluation,
  evaluate,
  type Score,
} from "./train/evaluate.js";
export { type Difference, type Improvement, improvementOf } from "./train/improvement.js";
export { loadPolicy, modelFolder } from "./train/load-policy.js";
export { expertPlayer, type Player, policyPlayer, randomPlayer } from "./train/players.js";
export { numberLine, numberLineSft, presets } from "./train/presets.js";
export {
  type CallRow,
  type OpRow,
  type ProfileReport,
  reportProfile,
  type ShapeRow,
} from "./train/profile-report.js";
export { createProgress, type Progress, silentProgress } from "./train/progress.js";
export { type PublishedPanel, publishedPanels } from "./train/published-panels.js";
export { resolveConfig } from "./train/resolve-config.js";
export { type Algorithm, type RunOptions, type RunOutcome, type RunSettings, run } from "./train/run.js";
export { RunFolder, RunFolderError } from "./train/run-folder.js";
export { type EnvironmentOptions, findTask, type Task } from "./train/tasks.js";
export { type Trace, type TraceEvent, toTrace } from "./train/trace.js";
export { type TrainOptions, train } from "./train/train.js";
export { type WriteDemonstrationsOptions, writeDemonstrations } from "./train/write-demonstrations.js";
