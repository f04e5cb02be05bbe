/**
 * The client of a peer: another program that does the same work, as a child process that answers one line of
 * JSON on its standard output for each line of JSON on its standard input (bench/README.md has the protocol).
 */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { z } from "zod";

/** A peer that is absent, died, was too slow, broke the protocol, or cannot do a case. The message says which. */
export class PeerError extends Error {
  override readonly name = "PeerError";
}

/** What to start. */
export interface PeerCommand {
  /** For messages: the project that the peer stands for. */
  readonly title: string;
  readonly command: string;
  readonly args: readonly string[];
}

export interface PeerIdentity {
  readonly name: string;
  readonly version: string;
  readonly threads: number;
}

/** Longest wait for an answer, in milliseconds, by operation. Opening and checking may compile the model. */
export const defaultTimeoutsMs = {
  hello: 120_000,
  open: 600_000,
  check: 600_000,
  run: 900_000,
  memory: 120_000,
  close: 120_000,
} as const;
type Operation = keyof typeof defaultTimeoutsMs;
export type Timeouts = Readonly<Record<Operation, number>>;

const identity = z.looseObject({ name: z.string(), version: z.string(), threads: z.number() });
const failure = z.union([
  z.looseObject({ error: z.string() }).transform(({ error }) => error),
  z.looseObject({ unsupported: z.string() }).transform(({ unsupported }) => `unsupported: ${unsupported}`),
]);
const opened = z.looseObject({ handle: z.number() });
const checked = z.looseObject({ values: z.record(z.string(), z.unknown()) });
const timed = z.looseObject({ seconds: z.number().positive() });
const memory = z.looseObject({ peakBytes: z.number().positive().nullable() });

/** Bytes of a peer's error output that are kept for the message when it dies. */
const KEPT_ERROR_OUTPUT = 2000;

/** One running peer. Requests go one after the other; after a breach of the protocol the process is ended. */
export class Peer {
  readonly #title: string;
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #timeoutsMs: Timeouts;
  #errorOutput = "";
  #broken: PeerError | undefined;
  #waiting: { resolve: (line: string) => void; reject: (error: PeerError) => void } | undefined;

  private constructor({ title, command, args }: PeerCommand, timeoutsMs: Timeouts) {
    this.#title = title;
    this.#timeoutsMs = timeoutsMs;
    this.#process = spawn(command, args, { stdio: "pipe" });
    this.#process.on("error", (error) => this.#break(`could not be started: ${error.message}`));
    this.#process.on("close", (code, signal) =>
      this.#break(`ended with ${signal ?? `code ${code}`}; ${this.#lastWords()}`),
    );
    // A peer that has gone is reported by "close"; the write that noticed it first has nothing to add.
    this.#process.stdin.on("error", () => {});
    this.#process.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#errorOutput = (this.#errorOutput + text).slice(-KEPT_ERROR_OUTPUT);
    });
    createInterface({ input: this.#process.stdout }).on("line", (line) => {
      if (this.#waiting) this.#waiting.resolve(line);
      else this.#break(`wrote without being asked: ${line.slice(0, 200)}`);
    });
  }

  /**
   * Starts a peer and waits until it has introduced itself.
   *
   * @throws PeerError
   */
  static async start(
    command: PeerCommand,
    threads: number,
    timeoutsMs: Timeouts = defaultTimeoutsMs,
  ): Promise<{ peer: Peer; identity: PeerIdentity }> {
    const peer = new Peer(command, timeoutsMs);
    return { peer, identity: await peer.#request("hello", { threads }, identity) };
  }

  /** Whether it still answers. */
  get alive(): boolean {
    return this.#broken === undefined;
  }

  /** @throws PeerError where the peer fails or does not support the case */
  async open(name: string, settings: object): Promise<PeerCase> {
    const { handle } = await this.#request("open", { case: name, settings }, opened);
    const ask = <Schema extends z.ZodType>(operation: Operation, schema: Schema) =>
      this.#request(operation, { handle }, schema);
    return {
      check: async () => (await ask("check", checked)).values,
      run: async () => (await ask("run", timed)).seconds,
      peakBytes: async () => (await ask("memory", memory)).peakBytes ?? undefined,
      close: async () => {
        if (this.alive) await ask("close", z.looseObject({}));
      },
    };
  }

  /** Ends the process. Callable twice. */
  stop(): void {
    this.#break("was stopped");
  }

  async #request<Schema extends z.ZodType>(
    operation: Operation,
    fields: object,
    schema: Schema,
  ): Promise<z.output<Schema>> {
    if (this.#broken) throw this.#broken;
    const line = await this.#exchange(operation, JSON.stringify({ op: operation, ...fields }));
    let answer: unknown;
    try {
      answer = JSON.parse(line);
    } catch {
      throw this.#break(`${operation}: expected a line of JSON, received ${line.slice(0, 200)}`);
    }
    const refusal = failure.safeParse(answer);
    if (refusal.success) throw new PeerError(`${this.#title}: ${refusal.data}`);
    const result = schema.safeParse(answer);
    if (result.success) return result.data;
    throw this.#break(`${operation}: unexpected answer ${line.slice(0, 200)}`);
  }

  #exchange(operation: Operation, request: string): Promise<string> {
    const limitMs = this.#timeoutsMs[operation];
    const timer = setTimeout(() => this.#break(`${operation}: no answer within ${limitMs} ms`), limitMs);
    return new Promise<string>((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#process.stdin.write(`${request}\n`);
    }).finally(() => {
      clearTimeout(timer);
      this.#waiting = undefined;
    });
  }

  /** Ends the process, and every request now and later, with the first reason given. */
  #break(reason: string): PeerError {
    this.#broken ??= new PeerError(`${this.#title}: ${reason}`);
    this.#process.kill("SIGKILL");
    this.#waiting?.reject(this.#broken);
    return this.#broken;
  }

  #lastWords(): string {
    const lines = this.#errorOutput.trim().split("\n").slice(-3).join(" | ");
    return lines === "" ? "it wrote no error" : `its last words: ${lines}`;
  }
}

/** One case that a peer has prepared. All throw PeerError. */
export interface PeerCase {
  /** Numbers that are compared with ours before anything is timed. */
  check(): Promise<Record<string, unknown>>;
  /** One repetition. @returns its seconds, as the peer measured them */
  run(): Promise<number>;
  /** Largest memory of the case, undefined where the peer cannot tell. */
  peakBytes(): Promise<number | undefined>;
  close(): Promise<void>;
}
