/** Command lines in tests: policies that learn at once, and what a command printed. */
import { Writable } from "node:stream";
import { expect } from "vitest";
import type { CliContext } from "../../src/cli/context.js";
import { runCli } from "../../src/cli/program.js";
import { CheckpointError } from "../../src/models/checkpoint-error.js";
import { SolverPolicy } from "./solver-policy.js";

export interface Ran {
  exitCode: number;
  stdout: string;
  stderr: string;
  /** The models that policies were asked for. */
  models: { checkpoint: string; weights: string }[];
  policies: SolverPolicy[];
}

/** Runs a command line with policies that solve NumberLine more often with every step of their optimizer. */
export async function cli(args: string[], prepare: (policy: SolverPolicy) => void = () => {}): Promise<Ran> {
  const ran: Ran = { exitCode: -1, stdout: "", stderr: "", models: [], policies: [] };
  const sink = (name: "stdout" | "stderr") =>
    new Writable({
      write(chunk, _encoding, done) {
        ran[name] += String(chunk);
        done();
      },
    });
  const context: CliContext = {
    stdout: sink("stdout"),
    stderr: sink("stderr"),
    async loadPolicy({ model }) {
      ran.models.push(model);
      if (model.checkpoint === "missing") await context.checkModel(model);
      const policy = new SolverPolicy();
      prepare(policy);
      ran.policies.push(policy);
      return policy;
    },
    async checkModel({ checkpoint }) {
      if (checkpoint === "missing") {
        throw new CheckpointError("FOLDER_MISSING", "missing", "expected a model folder");
      }
    },
  };
  ran.exitCode = await runCli(args, context);
  for (const policy of ran.policies) expect(policy.isDisposed).toBe(true);
  return ran;
}

/** A run small enough for a test. */
export const small = [
  "environments=4",
  "ppo.updates=3",
  "ppo.stepsPerEnvironment=8",
  "ppo.minibatchSize=16",
  "stop.minimumEpisodes=1",
  "evaluation.episodes=20",
  "evaluation.transcripts=1",
  "evaluation.selectionEpisodes=10",
].flatMap((setting) => ["--set", setting]);
