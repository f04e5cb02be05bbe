import type { z } from "zod";
import { ConfigError, type ConfigIssue, describeReceived, nearestName } from "./config-error.js";
import { acceptedAt, settingsOf } from "./settings.js";

/**
 * Holds an input against a schema.
 *
 * @param source names where it came from, for the error's first line
 * @returns the input with defaults filled in
 * @throws ConfigError with every issue: what the schema accepts there, what was received, and for a name that does not exist
 *   the one that comes nearest
 */
export function parseWith<Schema extends z.ZodType>(
  schema: Schema,
  input: unknown,
  source: string,
): z.output<Schema> {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  throw new ConfigError(
    source,
    result.error.issues.flatMap((issue) => issuesOf(issue, input, schema)),
  );
}

function issuesOf(issue: z.core.$ZodIssue, input: unknown, schema: z.ZodType): ConfigIssue[] {
  const at = (path: readonly PropertyKey[]): string => describeReceived(valueAt(input, path));
  if (issue.code !== "unrecognized_keys") {
    const expected = issue.code === "custom" ? issue.message : acceptedAt(schema, issue.path);
    return [{ path: issue.path.join("."), expected: expected ?? issue.message, received: at(issue.path) }];
  }
  const known = settingsOf(schema).map(({ path }) => path);
  return issue.keys.map((key) => {
    const path = [...issue.path, key];
    const name = path.join(".");
    return {
      path: name,
      expected: "a setting that exists",
      received: at(path),
      nearest: nearestName(name, known),
    };
  });
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, key) => (value as Record<PropertyKey, unknown> | undefined)?.[key],
    input,
  );
}
