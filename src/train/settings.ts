/** A configuration schema as a list of settings, for messages, help and nearest names. */
import { z } from "zod";

/** One leaf of a configuration schema. */
export interface Setting {
  /** Dotted path, as `--set` takes it. */
  readonly path: string;
  /** What is accepted, in words, e.g. `a number > 0 and < 1`. */
  readonly accepts: string;
  /** The field's own documentation. */
  readonly description: string;
  /** Undefined where the field has no default. */
  readonly default: unknown;
}

type Node = z.core.JSONSchema.BaseSchema;

/** Every setting of a schema, in the order of its fields. */
export function settingsOf(schema: z.ZodType): Setting[] {
  return leaves(jsonSchemaOf(schema), []);
}

/** What a schema accepts at a path, in words; undefined for a path it does not have. */
export function acceptedAt(schema: z.ZodType, path: readonly PropertyKey[]): string | undefined {
  let node = jsonSchemaOf(schema);
  for (const key of path) {
    node = withoutNull(node);
    const children: unknown = typeof key === "number" ? node.prefixItems : node.properties;
    const item = typeof key === "number" ? (node.items as Node | undefined) : undefined;
    const child = item ?? (children as Record<PropertyKey, Node> | undefined)?.[key];
    if (child === undefined) return undefined;
    node = child;
  }
  return accepts(node);
}

/** Paths of the settings and groups of settings that may be null. */
export function nullablePaths(schema: z.ZodType): string[] {
  const below = (node: Node, path: readonly string[]): string[] => {
    const children = Object.entries(withoutNull(node).properties ?? {});
    const own = withoutNull(node) === node ? [] : [path.join(".")];
    return [...own, ...children.flatMap(([key, child]) => below(child as Node, [...path, key]))];
  };
  return below(jsonSchemaOf(schema), []);
}

function jsonSchemaOf(schema: z.ZodType): Node {
  return z.toJSONSchema(schema, { io: "input" });
}

/** What a nullable node takes beside null; any other node itself. */
function withoutNull(node: Node): Node {
  return (node.anyOf?.find((option) => (option as Node).type !== "null") as Node | undefined) ?? node;
}

function leaves(outer: Node, path: readonly string[]): Setting[] {
  const inner = withoutNull(outer);
  const node = inner.properties === undefined ? outer : inner;
  if (node.properties !== undefined) {
    return Object.entries(node.properties).flatMap(([key, child]) => leaves(child as Node, [...path, key]));
  }
  return [
    {
      path: path.join("."),
      accepts: accepts(node),
      description: node.description ?? "",
      default: node.default,
    },
  ];
}

function accepts(node: Node): string {
  const inner = withoutNull(node);
  if (inner !== node) return `${accepts(inner)}, or null`;
  if (node.const !== undefined) return JSON.stringify(node.const);
  if (node.enum !== undefined) return `one of ${node.enum.map((value) => JSON.stringify(value)).join(", ")}`;
  switch (node.type) {
    case "object":
      return "a group of settings";
    case "array":
      return node.prefixItems === undefined
        ? `a list of at most ${node.maxItems}: ${accepts(node.items as Node)}`
        : `a list of ${(node.prefixItems as Node[]).length} numbers`;
    case "string":
      return node.pattern === undefined
        ? "a string that is not empty"
        : `a string that matches ${node.pattern}`;
    case "number":
      return `a number${bounds(node)}`;
    case "integer":
      return `an integer${bounds(node)}`;
    default:
      return `a ${node.type}`;
  }
}

function bounds({ minimum, maximum, exclusiveMinimum, exclusiveMaximum }: Node): string {
  const parts: string[] = [];
  if (minimum !== undefined && minimum > Number.MIN_SAFE_INTEGER) parts.push(`>= ${minimum}`);
  if (exclusiveMinimum !== undefined) parts.push(`> ${exclusiveMinimum}`);
  if (maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER) parts.push(`<= ${maximum}`);
  if (exclusiveMaximum !== undefined) parts.push(`< ${exclusiveMaximum}`);
  return parts.length === 0 ? "" : ` ${parts.join(" and ")}`;
}
