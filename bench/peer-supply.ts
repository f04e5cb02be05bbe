/** Where peers come from: found once per run, started when a case first asks, started anew after one has died. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { packagePath } from "../src/train/package-path.js";
import { Peer, type PeerCase, type PeerCommand, PeerError } from "./peer.js";

/** Gives out cases of one peer. */
export class PeerSupply {
  #peer: Peer | undefined;
  #description: string;

  /**
   * @param title what rows call the peer
   * @param found how to start it, or why it is not there; undefined: it was not asked for
   */
  constructor(
    readonly title: string,
    private readonly found: PeerCommand | { readonly missing: string } | undefined,
    private readonly threads: number,
  ) {
    const reason =
      found === undefined ? "not asked for" : "missing" in found ? found.missing : "no case for it";
    this.#description = `${title}: skipped, ${reason}`;
  }

  /** Whether comparisons are to have it. One that is wanted but missing leaves its reason in every row. */
  get wanted(): boolean {
    return this.found !== undefined;
  }

  /** Whether it can be started. */
  get present(): boolean {
    return this.found !== undefined && !("missing" in this.found);
  }

  /** Name, version and threads once it has run; before that, or where it is missing, why not. */
  get description(): string {
    return this.#description;
  }

  /** @throws PeerError where the peer is missing, fails, or does not support the case */
  async open(name: string, settings: object): Promise<PeerCase> {
    if (this.found === undefined || "missing" in this.found) throw new PeerError(this.#description);
    if (!this.#peer?.alive) {
      const { peer, identity } = await Peer.start(this.found, this.threads);
      this.#peer = peer;
      this.#description = `${identity.name} ${identity.version}, ${identity.threads} threads`;
    }
    return this.#peer.open(name, settings);
  }

  /** Ends the running process, if any. */
  stop(): void {
    this.#peer?.stop();
    this.#peer = undefined;
  }
}

export interface Peers {
  readonly pytorch: PeerSupply;
  readonly llamaCpp: PeerSupply;
  readonly pillow: PeerSupply;
}

/**
 * Looks for the peers: PyTorch and Pillow in the interpreter that `SIGHTLINE_BENCH_PYTHON` names, else in `python3`; llama.cpp
 * in the folder that `SIGHTLINE_BENCH_LLAMA` names, where node-llama-cpp is installed.
 *
 * @param wanted false: none are used
 */
export function findPeers(threads: number, wanted: boolean): Peers {
  const supply = (title: string, find: () => PeerCommand | { missing: string }) =>
    new PeerSupply(title, wanted ? find() : undefined, threads);
  return {
    pytorch: supply("PyTorch", () => findPython("PyTorch", "torch_peer.py", "torch 2", CHECK_TORCH)),
    llamaCpp: supply("llama.cpp", findLlamaCpp),
    pillow: supply("Pillow", () =>
      findPython("Pillow", "pillow_peer.py", "PIL and numpy", "import numpy, PIL"),
    ),
  };
}

const peerScript = (file: string) => packagePath("bench", "peers", file);

const CHECK_TORCH = "import torch; assert int(torch.__version__[0]) >= 2";

/** A peer script of Python. @param check a program that fails where `needs` is not installed */
function findPython(
  title: string,
  file: string,
  needs: string,
  check: string,
): PeerCommand | { missing: string } {
  const { SIGHTLINE_BENCH_PYTHON: named } = process.env;
  const interpreter = named ?? "python3";
  const script = peerScript(file);
  if (!existsSync(script)) return { missing: `bench/peers/${file} does not exist` };
  if (spawnSync(interpreter, ["-c", check]).status !== 0) {
    return {
      missing:
        `${named === undefined ? "python3" : "the interpreter of SIGHTLINE_BENCH_PYTHON"} cannot import ${needs}; ` +
        "let SIGHTLINE_BENCH_PYTHON name an interpreter that has bench/peers/requirements.txt installed",
    };
  }
  return { title, command: interpreter, args: [script] };
}

function findLlamaCpp(): PeerCommand | { missing: string } {
  const { SIGHTLINE_BENCH_LLAMA: folder } = process.env;
  if (folder === undefined) {
    return { missing: "set SIGHTLINE_BENCH_LLAMA to a folder with node-llama-cpp in its node_modules" };
  }
  const script = peerScript("llama-peer.mjs");
  if (!existsSync(script)) return { missing: "bench/peers/llama-peer.mjs does not exist" };
  if (!existsSync(join(resolve(folder), "node_modules", "node-llama-cpp"))) {
    return { missing: "the folder of SIGHTLINE_BENCH_LLAMA has no node_modules/node-llama-cpp" };
  }
  return { title: "llama.cpp", command: process.execPath, args: [script] };
}
