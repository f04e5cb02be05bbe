import { existsSync } from "node:fs";
import { appendFile, readFile } from "node:fs/promises";
import { writeWhole } from "./write-whole.js";

/** A row of a run's record: the update it belongs to, and anything JSON can hold. */
export interface Row {
  readonly update: number;
  readonly [key: string]: unknown;
}

/** A file of one JSON object per line, in order of update. */
export class JsonLines {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** Appends one row; on disk when the promise resolves. JSON has no NaN or infinity: they become null. */
  async append(row: Row): Promise<void> {
    await appendFile(this.#path, `${JSON.stringify(row)}\n`, { flush: true });
  }

  /** All rows; none if the file does not exist. A last line that a kill cut short is left out. */
  async read(): Promise<Row[]> {
    return (await this.#lines()).map((line) => JSON.parse(line) as Row);
  }

  /** Takes away what lies after an update, so that a run resumed from its checkpoint writes it again. */
  async truncateAfter(update: number): Promise<void> {
    if (!existsSync(this.#path)) return;
    const kept = (await this.#lines()).filter((line) => (JSON.parse(line) as Row).update <= update);
    await writeWhole(this.#path, kept.map((line) => `${line}\n`).join(""));
  }

  async #lines(): Promise<string[]> {
    if (!existsSync(this.#path)) return [];
    // What follows the last newline is empty, or a line that was never finished.
    return (await readFile(this.#path, "utf8")).split("\n").slice(0, -1);
  }
}
