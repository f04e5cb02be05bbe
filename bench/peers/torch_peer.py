"""PyTorch as a peer of the benchmarks: measures what it is asked to, one JSON object per line.

    python bench/peers/torch_peer.py [--threads N]

Requests on standard input, replies on standard output, in order; everything else goes to standard error.

  {"op": "hello", "threads"?: 2}                     {"name": "PyTorch", "version", "threads"}
  {"op": "open", "case": <name>, "settings": {...}}  {"handle"}, or {"unsupported": <why>}
  {"op": "check", "handle"}                          {"values": {...}}: numbers to compare before timing
  {"op": "run", "handle"}                            {"seconds", ...}: one repetition
  {"op": "memory", "handle"}                         {"peakBytes"}
  {"op": "close", "handle"}                          {}

Any request may be answered by {"error": <what>}; the process goes on. The cases and their settings are described
where they are implemented: torch_matmul.py, torch_train.py, torch_decode.py, rl4vlm_loop.py.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import sys
import traceback

import torch

from torch_train import Unsupported

# Imported when first asked for: Transformers alone takes seconds to load.
CASES = {
    "matmul": ("torch_matmul", "Matmul"),
    "train-step": ("torch_train", "TrainStep"),
    "decode": ("torch_decode", "Decode"),
    "ppo-iteration": ("rl4vlm_loop", "PpoIteration"),
}


class Peer:
    def __init__(self):
        self.opened = {}
        self.next_handle = 1

    def hello(self, request: dict) -> dict:
        if "threads" in request:
            torch.set_num_threads(request["threads"])
        return {"name": "PyTorch", "version": torch.__version__.split("+")[0], "threads": torch.get_num_threads()}

    def open(self, request: dict) -> dict:
        name = request["case"]
        if name not in CASES:
            return {"unsupported": f"case: expected one of {', '.join(CASES)}, received {name!r}"}
        module, implementation = CASES[name]
        try:
            case = getattr(importlib.import_module(module), implementation)(request["settings"])
        except Unsupported as reason:
            return {"unsupported": str(reason)}
        except ModuleNotFoundError as missing:
            return {"unsupported": f"{missing}; install bench/peers/requirements.txt"}
        handle, self.next_handle = self.next_handle, self.next_handle + 1
        self.opened[handle] = case
        return {"handle": handle}

    def check(self, request: dict) -> dict:
        return {"values": self.opened[request["handle"]].check()}

    def run(self, request: dict) -> dict:
        return self.opened[request["handle"]].run()

    def memory(self, request: dict) -> dict:
        case = self.opened[request["handle"]]
        return case.memory() if hasattr(case, "memory") else {"error": "memory: only train-step counts it"}

    def close(self, request: dict) -> dict:
        del self.opened[request["handle"]]
        gc.collect()
        return {}

    def reply(self, line: str) -> dict:
        operations = {
            "hello": self.hello,
            "open": self.open,
            "check": self.check,
            "run": self.run,
            "memory": self.memory,
            "close": self.close,
        }
        try:
            request = json.loads(line)
            if request.get("op") not in operations:
                return {"error": f"op: expected one of {', '.join(operations)}, received {request.get('op')!r}"}
            return operations[request["op"]](request)
        except Exception as failure:
            traceback.print_exc()
            return {"error": f"{type(failure).__name__}: {failure}"}


def main() -> None:
    parser = argparse.ArgumentParser(description="PyTorch as a peer of the benchmarks")
    parser.add_argument("--threads", type=int, default=2)
    torch.set_num_threads(parser.parse_args().threads)

    # Libraries print: they get standard error under the number of standard output, and the replies a copy of it.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    peer = Peer()
    for line in sys.stdin:
        if line.strip():
            print(json.dumps(peer.reply(line)), file=replies, flush=True)


if __name__ == "__main__":
    main()
