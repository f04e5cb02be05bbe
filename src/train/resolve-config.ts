/** From what a user gives (a preset or a file, and overrides) to a validated configuration. */
import { readFileSync } from "node:fs";
import { parse as parseYaml } from "yaml";
import { nullableSettings, parseConfig, type RunConfig } from "./config.js";
import { ConfigError, type ConfigIssue, describeReceived, unknownName } from "./config-error.js";
import { isPlainObject, type PlainObject } from "./plain-object.js";
import { presets } from "./presets.js";
import { taskNames } from "./tasks.js";

/**
 * Resolves a configuration: a preset, or a YAML or JSON file that is complete or `extends` a preset, changed
 * by overrides in the order given.
 *
 * @param source a preset's name, or the path of a .yaml, .yml or .json file
 * @param overrides `path=value` each, e.g. `ppo.updates=5`; the value is YAML. `null` takes a setting away,
 *   so that its default applies, except where null is one of its values
 * @throws ConfigError with every issue: an unknown preset or file, an override that cannot be read, that is
 *   repeated or takes away what is not there, and all that `parseConfig` finds
 */
export function resolveConfig(source: string, overrides: readonly string[] = []): RunConfig {
  const issues: ConfigIssue[] = [];
  let raw = Object.hasOwn(presets, source) ? (presets[source]!() as PlainObject) : readConfigFile(source);
  const seen = new Set<string>();
  for (const override of overrides) {
    const [path, value] = parseOverride(override);
    if (path === undefined) {
      issues.push({ path: "--set", expected: "path=value", received: describeReceived(override) });
      continue;
    }
    if (seen.has(path)) {
      issues.push({ path, expected: "to be set once", received: `${describeReceived(value)} as well` });
    }
    seen.add(path);
    const patch = path
      .split(".")
      .reduceRight<unknown>((inner, key) => ({ [key]: inner }), value) as PlainObject;
    raw = merge(raw, patch);
  }
  if (typeof raw.task === "string" && !taskNames.includes(raw.task)) {
    issues.push(unknownName("task", raw.task, "a task", taskNames));
  }
  let config: RunConfig | undefined;
  try {
    config = parseConfig(raw, source);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    issues.push(...error.issues);
  }
  if (config === undefined || issues.length > 0) throw new ConfigError(source, issues);
  return config;
}

function readConfigFile(path: string): PlainObject {
  const fail = (expected: string, received: string): never => {
    throw new ConfigError(path, [{ path: "", expected, received }]);
  };
  if (!/\.(ya?ml|json)$/.test(path)) {
    throw new ConfigError(path, [
      unknownName("", path, "a .yaml, .yml or .json file or a preset", Object.keys(presets)),
    ]);
  }
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    return fail("a file that can be read", (error as Error).message);
  }
  let document: unknown;
  try {
    document = parseYaml(text);
  } catch (error) {
    return fail("valid YAML or JSON", (error as Error).message);
  }
  if (!isPlainObject(document)) return fail("a group of settings", describeReceived(document));
  const { extends: base, ...own } = document;
  if (base === undefined) return own;
  if (typeof base !== "string" || !Object.hasOwn(presets, base)) {
    throw new ConfigError(path, [unknownName("extends", base, "a preset", Object.keys(presets))]);
  }
  return merge(presets[base]!() as PlainObject, own);
}

function parseOverride(override: string): [path: string, value: unknown] | [path: undefined] {
  const match = /^([^=\s]+)=(.+)$/s.exec(override);
  if (match === null) return [undefined];
  try {
    return [match[1]!, parseYaml(match[2]!)];
  } catch {
    return [undefined];
  }
}

/**
 * JSON merge patch (RFC 7396), except that a null stays where it is one of a setting's values, and where the key is not
 * there, so that validation refuses it.
 *
 * @param path of both in the configuration, with a dot at its end
 */
function merge(base: PlainObject, patch: PlainObject, path = ""): PlainObject {
  let merged = base;
  for (const [key, value] of Object.entries(patch)) {
    const { [key]: current, ...others } = merged;
    if (value === null && current !== undefined && !nullableSettings().has(path + key)) merged = others;
    else if (isPlainObject(value) && isPlainObject(current)) {
      merged = { ...merged, [key]: merge(current, value, `${path}${key}.`) };
    } else merged = { ...merged, [key]: value };
  }
  return merged;
}
