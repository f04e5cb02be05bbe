"""Checks the PyTorch peer against the golden file of test/golden, through its protocol; run by hand:

    python bench/peers/self_check.py

Prints one line per check and ends with an error at the first that fails. Needs what requirements.txt lists.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

HERE = Path(__file__).resolve().parent
GOLDEN = HERE.parents[1] / "test" / "golden" / "tiny-vlm"


class Client:
    def __init__(self):
        command = [sys.executable, str(HERE / "torch_peer.py"), "--threads", "1"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def ask(self, op: str, **request) -> dict:
        print(json.dumps({"op": op, **request}), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def open(self, case: str, **settings) -> int:
        reply = self.ask("open", case=case, settings=settings)
        assert "handle" in reply, reply
        return reply["handle"]


def expect(what: str, holds: bool, seen: object) -> None:
    print(f"{'ok  ' if holds else 'FAIL'} {what}: {seen}")
    if not holds:
        raise SystemExit(1)


def golden_case(folder: Path) -> tuple[dict, torch.Tensor]:
    """Settings of a train step on the golden sequences, and its log-probs.

    The golden temperature divides the logits, and so does a head that is divided by it beforehand.
    """
    case = json.loads((GOLDEN / "case.json").read_text())
    weights, expected = load_file(GOLDEN / "model.safetensors"), load_file(GOLDEN / "expected.safetensors")
    weights["decoder.head.weight"] /= case["temperature"]
    save_file(weights, folder / "weights.safetensors")
    save_file({"images": expected["images"].float()}, folder / "images.safetensors")
    settings = {
        "model": case["spec"],
        "weights": str(folder / "weights.safetensors"),
        "images": str(folder / "images.safetensors"),
        "sequences": case["sequences"],
        "learningRate": 1e-3,
    }
    return settings, expected["log_probs"]


def check_train_step(peer: Client, settings: dict, log_probs: torch.Tensor) -> None:
    # What rounding alone may change: 2^-7 per bfloat16 operand of a handful of layers, seen as a share of |log p|.
    for precision, variant, tolerance in (
        ("fp32", "eager", 1e-5),
        ("fp32", "compile", 1e-5),
        ("bf16", "eager", 5e-2),
        ("bf16", "bf16-weights", 5e-2),
    ):
        handle = peer.open("train-step", **settings, precision=precision, variant=variant)
        values = peer.ask("check", handle=handle)["values"]
        error = abs(values["loss"] + log_probs.mean().item()) / log_probs.abs().mean().item()
        expect(f"train-step {precision} {variant}: loss near the golden one", error < tolerance, error)
        for _ in range(3):
            run = peer.ask("run", handle=handle)
            assert run.get("seconds", 0) > 0, run
        trained = peer.ask("check", handle=handle)["values"]["loss"]
        expect("  and falls when trained", trained < values["loss"], f"{values['loss']} to {trained}")
        peak = peer.ask("memory", handle=handle)["peakBytes"]
        parameters = Path(settings["weights"]).stat().st_size / (2 if variant == "bf16-weights" else 1)
        expect("  and holds weights, gradients and two moments", peak > 3.5 * parameters, f"{peak} bytes")
        assert peer.ask("close", handle=handle) == {}


def check_decode(peer: Client, settings: dict) -> None:
    """Greedy tokens with the cache against those of scoring the growing sequence anew every time."""
    sys.path.insert(0, str(HERE))
    from torch_models import load_model

    prompts, steps = [[1, 17, 40, 8, 25], [1, 52, 9, 30, 7]], 7
    decoder = load_model(settings["model"], settings["weights"], with_vision=False).decoder
    tokens = torch.tensor(prompts)
    with torch.no_grad():
        for _ in range(steps + 1):
            hidden = decoder(decoder.embed(tokens) * decoder.scale)
            tokens = torch.cat([tokens, decoder.head(hidden[:, -1:]).argmax(-1)], dim=1)
    expected = tokens[:, len(prompts[0]) :].tolist()
    shared = {key: settings[key] for key in ("model", "weights")}
    for variant in ("eager", "compile"):
        handle = peer.open(
            "decode", **shared, prompts=prompts, newTokens=steps, precision="fp32", variant=variant
        )
        for again in range(2):
            seen = peer.ask("check", handle=handle)["values"]["tokens"]
            expect(f"decode {variant}: tokens, asked {again + 1} times", seen == expected, seen)
            assert peer.ask("run", handle=handle)["seconds"] > 0


def check_ppo_iteration(peer: Client, settings: dict) -> None:
    shared = {"environments": 4, "stepsPerEnvironment": 2, "epochs": 16, "minibatchSize": 4, "maxNewTokens": 16}
    lengths = {"promptTokens": 15, "responseTokens": 6}
    for style in ("published", "batched"):
        handle = peer.open(
            "ppo-iteration", style=style, model=settings["model"], precision="fp32", **shared, **lengths
        )
        difference = peer.ask("check", handle=handle)["values"]["logProbDifference"]
        expect(f"ppo-iteration {style}: sampled and scored log-probs agree", difference < 1e-4, difference)
        run = peer.ask("run", handle=handle)
        expect("  and it runs", run.get("seconds", 0) > 0, run.get("scaling", run))


def main() -> None:
    peer = Client()
    expect("hello", peer.ask("hello", threads=1).get("name") == "PyTorch", torch.__version__)
    for dtype, tolerance in (("fp32", 1e-5), ("bf16", 2**-8)):
        for packed in (False, True):
            handle = peer.open("matmul", m=37, n=96, k=64, dtype=dtype, packed=packed)
            error = peer.ask("check", handle=handle)["values"]["relativeError"]
            expect(f"matmul {dtype}, packed {packed}", error < tolerance, error)
            assert peer.ask("run", handle=handle)["seconds"] > 0
    with tempfile.TemporaryDirectory() as folder:
        settings, log_probs = golden_case(Path(folder))
        check_train_step(peer, settings, log_probs)
        check_decode(peer, settings)
        check_ppo_iteration(peer, settings)
    expect("an unknown case is unsupported", "unsupported" in peer.ask("open", case="x", settings={}), "x")
    expect("an unknown handle is an error", "error" in peer.ask("run", handle=99), 99)
    expect("and the peer lives on", "name" in peer.ask("hello"), "hello")
    peer.process.stdin.close()
    expect("the end of its input ends it", peer.process.wait(60) == 0, "exit 0")


if __name__ == "__main__":
    main()
