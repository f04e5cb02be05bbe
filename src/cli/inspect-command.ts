/** `sightline inspect`: what a model folder holds. */
import { type Command, InvalidArgumentError } from "commander";
import type { ModelSpec } from "../native/model-spec.js";
import type { Component, ImageSize } from "../native/types.js";
import { type Inspection, inspectModel, parts } from "../train/inspect-model.js";
import { modelFolder } from "../train/load-policy.js";
import type { CliContext } from "./context.js";
import { integer } from "./options.js";
import { formatTable } from "./table.js";

interface InspectFlags {
  readonly imageSize: ImageSize;
  readonly frozen: readonly Component[];
  readonly lora: readonly Component[];
  readonly loraModules?: string;
  readonly rank?: number;
  readonly json?: true;
}

/** That of RL4VLM's adapters. */
const DEFAULT_RANK = 128;

/** Adds the command. */
export function addInspectCommand(program: Command, { stdout }: CliContext): void {
  program
    .command("inspect")
    .description(
      "count a model's parameters, bytes and image tokens, and what a run would train; reads only headers",
    )
    .argument("<checkpoint>", "a model folder, or a run's checkpoint")
    .option("--image-size <WxH>", "frame that tokens are counted for, in pixels", imageSize, {
      width: 300,
      height: 300,
    })
    .option("--frozen <components>", "not trained, e.g. vision,projector", components, [])
    .option("--lora <components>", "trained by adapters, e.g. decoder", components, [])
    .option("--lora-modules <regex>", "of their layers, those whose module's path this matches as a whole")
    .option("--rank <r>", `rank of the adapters (default: ${DEFAULT_RANK})`, integer(1))
    .option("--json", "print JSON")
    .action(async (checkpoint: string, flags: InspectFlags, command: Command) => {
      refuseIdle(flags, command);
      const { json, imageSize: size, frozen, lora, loraModules: modules, rank = DEFAULT_RANK } = flags;
      const inspection = await inspectModel(modelFolder(checkpoint), size, { frozen, lora, modules, rank });
      stdout.write(`${json ? JSON.stringify(inspection, undefined, 2) : formatInspection(inspection)}\n`);
    });
}

/** Flags that would have no effect are an error: who gave them expected one. */
function refuseIdle({ frozen, lora, loraModules, rank }: InspectFlags, command: Command): void {
  const both = lora.find((component) => frozen.includes(component));
  if (both !== undefined) {
    command.error(`error: --lora: expected components that are not in --frozen, as ${both} is`);
  }
  if (lora.length > 0) return;
  if (loraModules !== undefined) command.error("error: --lora-modules chooses layers of --lora; give both");
  if (rank !== undefined) command.error("error: --rank is that of the adapters of --lora; give both");
}

function imageSize(text: string): ImageSize {
  const [, width, height] = /^([1-9]\d{0,4})x([1-9]\d{0,4})$/.exec(text) ?? [];
  if (width === undefined || Math.max(Number(width), Number(height)) > 16_384) {
    throw new InvalidArgumentError("expected a width and a height of at most 16384 pixels, e.g. 300x300");
  }
  return { width: Number(width), height: Number(height) };
}

function components(text: string): Component[] {
  return text.split(",").map((name) => {
    if (name === "vision" || name === "projector" || name === "decoder") return name;
    throw new InvalidArgumentError("expected some of vision, projector, decoder, separated by commas");
  });
}

function formatInspection(inspection: Inspection): string {
  const { folder, family, spec, files, parameters, bytes, image, trained, adapter } = inspection;
  const held = parts.filter((part) => parameters[part] > 0 || part === "value_head");
  const counts = formatTable([
    ["parameters", "in the files", "trained"],
    ...held.map((part) => [part, grouped(parameters[part]), part === "unused" ? "" : grouped(trained[part])]),
    ["total", grouped(parameters.total), grouped(trained.total)],
  ]);
  const stored = formatTable([
    ["stored as", "bytes"],
    ...Object.entries(bytes).map(([dtype, count]) => [dtype, grouped(count)]),
  ]);
  return [
    `${folder}: ${family}, ${files === 1 ? "1 file" : `${files} files`} of weights`,
    ...describeModel(spec),
    ...(image === null
      ? []
      : [`image      ${image.width} x ${image.height} takes ${grouped(image.tokens)} tokens`]),
    ...(adapter === null
      ? []
      : [
          `adapter    rank ${adapter.rank}, alpha ${adapter.alpha}, ${adapter.layers} layers, ${grouped(adapter.parameters)} parameters`,
        ]),
    "",
    counts,
    "",
    stored,
  ].join("\n");
}

function describeModel({ vision, projector, decoder }: ModelSpec): string[] {
  const lines: string[] = [];
  if (vision !== null) {
    const views =
      vision.kind === "native_resolution" ? "any size" : `${vision.imageSize} x ${vision.imageSize}`;
    lines.push(
      `vision     ${vision.layers} layers of width ${vision.width}, ${vision.heads} heads, MLP ${vision.mlpWidth}, ` +
        `patches of ${vision.patchSize}, views of ${views}`,
    );
  }
  if (projector !== null) {
    const merging =
      projector.mergeSize === 1 ? "" : `${projector.mergeSize} x ${projector.mergeSize} patches merged, `;
    const layers =
      projector.hiddenWidth === null
        ? "one linear layer"
        : `two linear layers, ${projector.hiddenWidth} between`;
    lines.push(`projector  ${merging}${layers}`);
  }
  lines.push(
    `decoder    ${decoder.layers} layers of width ${decoder.width}, ${decoder.heads} heads (${decoder.keyValueHeads} of keys and values) ` +
      `of ${decoder.headSize}, MLP ${decoder.mlpWidth}, vocabulary ${decoder.vocabularySize}` +
      `${decoder.tiedHead ? " (tied head)" : ""}, at most ${decoder.maxPositions} positions`,
  );
  return lines;
}

const grouped = (count: number) => String(count).replace(/\B(?=(\d{3})+$)/g, " ");
