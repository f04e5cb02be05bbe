/** One thing wrong with a configuration. */
export interface ConfigIssue {
  /** Dotted path of the setting, e.g. `ppo.clipRange`; empty for the configuration as a whole. */
  readonly path: string;
  /** What would be accepted, in words. */
  readonly expected: string;
  /** What was given, in words. */
  readonly received: string;
  /** The valid name that comes nearest to an unknown one. */
  readonly nearest?: string | undefined;
}

/** A configuration that cannot be run. Lists every issue, not the first. */
export class ConfigError extends Error {
  readonly code = "CONFIG_INVALID";
  readonly issues: readonly ConfigIssue[];

  /** @param source what was read, e.g. a preset's name or a file's path */
  constructor(source: string, issues: readonly ConfigIssue[]) {
    const lines = issues.map(({ path, expected, received, nearest }) => {
      const hint = nearest === undefined ? "" : `; did you mean ${nearest}?`;
      return `  ${path === "" ? "" : `${path}: `}expected ${expected}, received ${received}${hint}`;
    });
    super([`${source}: the configuration is not valid`, ...lines].join("\n"));
    this.name = "ConfigError";
    this.issues = issues;
  }
}

/** A value as it reads best in a message: JSON, and the type where JSON does not show it. */
export function describeReceived(value: unknown): string {
  if (value === undefined) return "nothing";
  if (typeof value === "number") return String(value);
  const json = JSON.stringify(value) ?? String(value);
  const shown = json.length > 80 ? `${json.slice(0, 77)}...` : json;
  return typeof value === "string" ? `${shown} (a string)` : shown;
}

/** The issue of a name that is none of those there are. @param what the names stand for, e.g. `a preset` */
export function unknownName(
  path: string,
  received: unknown,
  what: string,
  names: readonly string[],
): ConfigIssue {
  return {
    path,
    expected: `${what} (${names.join(", ")})`,
    received: describeReceived(received),
    nearest: typeof received === "string" ? nearestName(received, names) : undefined,
  };
}

/**
 * The candidate with the smallest edit distance (Levenshtein 1966) to a name, if at most a third of the
 * longer of the two would have to change; letter case counts nothing.
 */
export function nearestName(name: string, candidates: Iterable<string>): string | undefined {
  let nearest: string | undefined;
  let fewest = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const edits = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (edits < fewest && edits <= Math.max(name.length, candidate.length) / 3) {
      nearest = candidate;
      fewest = edits;
    }
  }
  return nearest;
}

function editDistance(a: string, b: string): number {
  // row[j] is the distance between the first i letters of a and the first j of b.
  const row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    let diagonal = row[0]!;
    row[0] = i;
    for (let j = 1; j <= b.length; j++) {
      const substituted = diagonal + (a[i - 1] === b[j - 1] ? 0 : 1);
      diagonal = row[j]!;
      row[j] = Math.min(substituted, diagonal + 1, row[j - 1]! + 1);
    }
  }
  return row[b.length]!;
}
