/** Ablations: one configuration under several settings and seeds, as YAML files describe them, and the runs that this takes. */
import { existsSync, readFileSync } from "node:fs";
import { basename, extname, join } from "node:path";
import { parse as parseYaml } from "yaml";
import { z } from "zod";
import type { RunConfig } from "./config.js";
import { ConfigError, type ConfigIssue, describeReceived, unknownName } from "./config-error.js";
import { packagePath } from "./package-path.js";
import { parseWith } from "./parse-with.js";
import { resolveConfig } from "./resolve-config.js";

const settings = z
  .record(z.string(), z.unknown())
  .default({})
  .describe("Settings that differ, by dotted path, as --set takes them.");

const schema = z.strictObject({
  title: z.string().min(1).describe("Heading of the result table."),
  about: z.string().optional().describe("What is compared and what was found elsewhere, above the table."),
  config: z.string().min(1).describe("What all arms change: a preset or a configuration file."),
  seeds: z
    .array(z.int().min(0).max(0xffffffff))
    .min(1)
    .max(100)
    .refine((seeds) => new Set(seeds).size === seeds.length, "seeds that differ")
    .default([1, 2, 3])
    .describe("Every arm is run once with each."),
  arms: z
    .array(
      z.strictObject({
        name: z.string().min(1).describe("What the arm is called in the table."),
        set: settings,
        start: z
          .strictObject({
            config: z.string().min(1).describe("A preset or a configuration file."),
            set: settings,
          })
          .optional()
          .describe("A run that is made first; the arm's model is its best checkpoint."),
      }),
    )
    .min(1)
    .max(100)
    .describe("What is compared."),
});

export type Ablation = z.output<typeof schema>;

/** One run of an ablation. */
export interface PlannedRun {
  readonly config: RunConfig;
  /** Its run folder. */
  readonly folder: string;
}

export interface PlannedArm {
  readonly name: string;
  readonly start: PlannedRun | undefined;
  readonly runs: readonly (PlannedRun & { readonly seed: number })[];
}

/** The ablations that ship, by the name that `sightline ablate` takes. */
export const ablationNames: readonly string[] = ["number-line-lambda", "number-line-thoughts"];

/** Name of an ablation's folder of runs: of a shipped one or a file, without its ending. */
export function ablationName(source: string): string {
  return basename(source, extname(source));
}

/**
 * Reads an ablation.
 *
 * @param source a shipped ablation's name, or the path of a .yaml, .yml or .json file
 * @throws ConfigError for a file that cannot be read, and with every issue of its content
 */
export function readAblation(source: string): Ablation {
  const isShipped = ablationNames.includes(source);
  if (!isShipped && !/\.(ya?ml|json)$/.test(source)) {
    throw new ConfigError(source, [
      unknownName("", source, "a .yaml, .yml or .json file or an ablation", ablationNames),
    ]);
  }
  const path = isShipped ? packagePath("assets", "ablations", `${source}.yaml`) : source;
  let document: unknown;
  try {
    document = parseYaml(readFileSync(path, "utf8"));
  } catch (error) {
    throw new ConfigError(path, [
      {
        path: "",
        expected: existsSync(path) ? "valid YAML or JSON" : "a file that can be read",
        received: (error as Error).message,
      },
    ]);
  }
  const ablation = parseWith(schema, document, path);
  const folders = ablation.arms.map(({ name }) => folderName(name));
  const issues = folders.flatMap((folder, arm): ConfigIssue[] => {
    const expected = "a name with letters or digits, unlike the others";
    const isBad = folder === "" || folders.indexOf(folder) !== arm;
    return isBad
      ? [{ path: `arms.${arm}.name`, expected, received: describeReceived(ablation.arms[arm]!.name) }]
      : [];
  });
  if (issues.length > 0) throw new ConfigError(path, issues);
  return ablation;
}

/**
 * The runs of an ablation, each with its whole configuration: `<out>/<arm>/seed<seed>`, and `<out>/<arm>/start` for an arm that
 * has one.
 *
 * @param overrides `path=value`, for every arm, not for their starts
 * @throws ConfigError with every issue of every arm, by the arm's name
 */
export function planAblation(
  ablation: Ablation,
  out: string,
  seeds: readonly number[],
  overrides: readonly string[] = [],
): PlannedArm[] {
  const issues: ConfigIssue[] = [];
  const resolve = (place: string, source: string, changes: readonly string[]): RunConfig | undefined => {
    try {
      return resolveConfig(source, changes);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      issues.push(...error.issues.map((issue) => ({ ...issue, path: `${place}: ${issue.path}` })));
      return undefined;
    }
  };
  const arms = ablation.arms.map(({ name, set, start }): PlannedArm => {
    const folder = join(out, folderName(name));
    const startFolder = join(folder, "start");
    const changes = [...assignments(set), ...overrides];
    if (start !== undefined) {
      changes.push(...assignments({ "model.checkpoint": join(startFolder, "checkpoints", "best") }));
    }
    const startConfig = start && resolve(`${name}, its start`, start.config, assignments(start.set));
    const runs = seeds.flatMap((seed) => {
      const config = resolve(`${name}, seed ${seed}`, ablation.config, [...changes, `seed=${seed}`]);
      return config === undefined ? [] : [{ seed, config, folder: join(folder, `seed${seed}`) }];
    });
    return { name, start: startConfig && { config: startConfig, folder: startFolder }, runs };
  });
  if (issues.length > 0) throw new ConfigError(ablation.config, issues);
  return arms;
}

/** Settings as `resolveConfig` takes them: JSON is YAML. */
function assignments(set: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(set).map(([path, value]) => `${path}=${JSON.stringify(value)}`);
}

/** An arm's name as the name of a folder: "λ = 0.5" becomes "0.5". */
function folderName(name: string): string {
  return name
    .toLowerCase()
    .replace(/[^a-z0-9.]+/g, "-")
    .replace(/^[-.]+|[-.]+$/g, "");
}
