/** How a run shows that it moves: a bar on a terminal, one line per update elsewhere. */
import type { Writable } from "node:stream";
import cliProgress from "cli-progress";
import { formatDuration } from "./duration.js";

export interface ProgressUpdate {
  readonly update: number;
  /** What is worth showing of its metrics, by short name. */
  readonly headline: Readonly<Record<string, number>>;
  /** Duration of this update. */
  readonly seconds: number;
}

export interface Progress {
  /** Updates follow. @param done made so far @param total most that will be made */
  begin(done: number, total: number): void;
  update(update: ProgressUpdate): void;
  /** Something to read between updates. */
  message(text: string): void;
  /** No more updates follow; also called when none was begun. */
  end(): void;
}

/** Shows nothing. */
export const silentProgress: Progress = { begin() {}, update() {}, message() {}, end() {} };

/** A bar on a terminal; on anything else a plain line per update, or per so many that 100 lines do. */
export function createProgress(stream: Writable & { isTTY?: boolean }): Progress {
  return stream.isTTY === true ? new ProgressBar(stream) : new ProgressLines(stream);
}

/** Time left, at the mean pace of the updates that this process made. */
class Pace {
  readonly #total: number;
  #updates = 0;
  #seconds = 0;

  constructor(total: number) {
    this.#total = total;
  }

  add({ update, seconds }: ProgressUpdate): string {
    this.#updates += 1;
    this.#seconds += seconds;
    return formatDuration((this.#seconds / this.#updates) * (this.#total - update));
  }
}

/** Most lines that a run writes where there is no terminal. */
const MAX_LINES = 100;

class ProgressLines implements Progress {
  readonly #stream: Writable;
  #total = 0;
  #pace = new Pace(0);

  constructor(stream: Writable) {
    this.#stream = stream;
  }

  begin(_done: number, total: number): void {
    this.#total = total;
    this.#pace = new Pace(total);
  }

  update(update: ProgressUpdate): void {
    const width = String(this.#total).length;
    const position = `${String(update.update).padStart(width)}/${this.#total}`;
    const left = this.#pace.add(update);
    const every = Math.ceil(this.#total / MAX_LINES);
    if (update.update % every !== 0 && update.update !== this.#total) return;
    const metrics = formatHeadline(update.headline);
    this.message(`update ${position}  ${metrics}  ${formatDuration(update.seconds)}  at most ${left} left`);
  }

  message(text: string): void {
    this.#stream.write(`${text}\n`);
  }

  end(): void {}
}

class ProgressBar implements Progress {
  readonly #stream: Writable;
  #bar: cliProgress.SingleBar | undefined;
  #total = 0;
  #done = 0;
  #payload = { headline: "", left: "?" };
  #pace = new Pace(0);

  constructor(stream: Writable) {
    this.#stream = stream;
  }

  begin(done: number, total: number): void {
    this.#total = total;
    this.#done = done;
    this.#pace = new Pace(total);
    this.#draw();
  }

  update(update: ProgressUpdate): void {
    this.#done = update.update;
    this.#payload = { headline: formatHeadline(update.headline), left: this.#pace.add(update) };
    this.#bar?.update(this.#done, this.#payload);
  }

  message(text: string): void {
    const isDrawn = this.#bar !== undefined;
    this.end();
    this.#stream.write(`${text}\n`);
    if (isDrawn) this.#draw();
  }

  end(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }

  #draw(): void {
    this.#bar = new cliProgress.SingleBar(
      {
        stream: this.#stream as NodeJS.WriteStream,
        format: "{bar} {value}/{total}  {headline}  at most {left} left",
        barsize: 20,
        hideCursor: true,
      },
      cliProgress.Presets.shades_classic,
    );
    this.#bar.start(this.#total, this.#done, this.#payload);
  }
}

function formatHeadline(headline: Readonly<Record<string, number>>): string {
  return Object.entries(headline)
    .map(([name, value]) => `${name} ${formatNumber(value)}`)
    .join("  ");
}

function formatNumber(value: number): string {
  return value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential(1) : value.toFixed(3);
}
