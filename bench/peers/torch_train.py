"""The case "train-step": forward, backward and AdamW over all sequences as one batch.

The loss is the mean negative log-prob of the response tokens. Inputs end one token before the sequences do, and
logits are computed only where a response token is predicted. Ragged sequences are padded on the right, which
causal attention needs no mask for.

Variants, by precision:
  fp32  eager, compile
  bf16  eager, compile: torch.autocast over fp32 weights
        bf16-weights, bf16-weights-compile: weights, gradients and optimizer state in bfloat16

Tried and left out, since a step is no faster: torch.set_float32_matmul_precision("medium"), which hands fp32
products from MKL to oneDNN; on CPUs without matrix units (AMX) they stay fp32, forward products gain and
those of the backward pass lose.
"""

from __future__ import annotations

import contextlib
import time

import torch
from safetensors.torch import load_file
from torch import Tensor

from torch_models import load_model

VARIANTS = {
    "fp32": ("eager", "compile"),
    "bf16": ("eager", "compile", "bf16-weights", "bf16-weights-compile"),
}


class Unsupported(Exception):
    """What this peer cannot measure, and why."""


def check_variant(precision: str, variant: str) -> None:
    """@throws Unsupported for a combination that is not in VARIANTS."""
    known = VARIANTS.get(precision)
    if known is None:
        raise Unsupported(f"precision: expected {' or '.join(VARIANTS)}, received {precision!r}")
    if variant not in known:
        raise Unsupported(f"variant at {precision}: expected one of {', '.join(known)}, received {variant!r}")


def pack_sequences(sequences: list[dict], image_token: int) -> dict[str, Tensor | None]:
    """The arguments of VisionLanguageModel.log_probs but for the images."""
    inputs = [(s["prompt"] + s["response"])[:-1] for s in sequences]
    length = max(len(row) for row in inputs)
    tokens = torch.zeros(len(inputs), length, dtype=torch.long)
    rows, targets, images = [], [], []
    for i, (sequence, row) in enumerate(zip(sequences, inputs)):
        tokens[i, : len(row)] = torch.tensor(row)
        start = i * length + len(sequence["prompt"]) - 1
        rows.extend(range(start, start + len(sequence["response"])))
        targets.extend(sequence["response"])
        if sequence.get("image") is not None:
            images.append(sequence["image"])
    every_row = len(rows) == tokens.numel()
    return {
        "tokens": tokens,
        "targets": torch.tensor(targets),
        "rows": None if every_row else torch.tensor(rows),
        "image_of_row": torch.tensor(images) if images else None,
        "slots": (tokens.flatten() == image_token).nonzero().flatten() if images else None,
    }


class TrainStep:
    """One opened train-step case. The compiled variants compile at the first check or run."""

    def __init__(self, settings: dict):
        precision, variant = settings["precision"], settings["variant"]
        check_variant(precision, variant)
        spec = settings["model"]
        self.batch = pack_sequences(settings["sequences"], spec["imageTokenId"])
        with_vision = self.batch["slots"] is not None
        self.batch["images"] = load_file(settings["images"])["images"] if with_vision else None

        self.model = load_model(spec, settings["weights"], with_vision)
        self.autocast = precision == "bf16" and not variant.startswith("bf16-weights")
        if variant.startswith("bf16-weights"):
            self.model.bfloat16()
            if with_vision:
                self.batch["images"] = self.batch["images"].bfloat16()
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=settings["learningRate"], weight_decay=0.0, fused=True
        )
        self.log_probs = self.model.log_probs
        if "compile" in variant:
            self.log_probs = torch.compile(self.log_probs)

    def _scores(self) -> Tensor:
        context = torch.autocast("cpu", torch.bfloat16) if self.autocast else contextlib.nullcontext()
        with context:
            return self.log_probs(**self.batch)

    def _step(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        (-self._scores().mean()).backward()
        self.optimizer.step()

    def check(self) -> dict:
        """The loss and the first eight log-probs with the weights as they are.

        Computed as in training, gradients enabled, so that a compiled variant checks the graph it will run.
        """
        log_probs = self._scores().detach()
        return {"loss": -log_probs.mean().item(), "log_probs": log_probs[:8].tolist()}

    def run(self) -> dict:
        """Two steps, of which the second is timed: it finds the caches as a step of training does."""
        self._step()
        start = time.perf_counter()
        self._step()
        return {"seconds": time.perf_counter() - start}

    def memory(self) -> dict:
        """Peak bytes of live tensors during a step: weights, gradients, optimizer state, activations, inputs.

        Counted from PyTorch's record of every allocation and release, so that neither the allocator's
        fragmentation nor the interpreter is held against it. Scratch that libraries take for themselves is not seen.
        """
        self._step()  # the optimizer's state exists from here on
        self.optimizer.zero_grad(set_to_none=True)
        state = [t for s in self.optimizer.state.values() for t in s.values() if torch.is_tensor(t)]
        inputs = [t for t in self.batch.values() if torch.is_tensor(t)]
        held = [*self.model.parameters(), *self.model.buffers(), *state, *inputs]
        live = peak = sum(t.numel() * t.element_size() for t in held)
        with torch.profiler.profile(profile_memory=True, acc_events=True) as profile:
            self._step()
            self.optimizer.zero_grad(set_to_none=True)
        changes = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
        for change in sorted(changes, key=lambda event: event.start_ns()):
            live += change.nbytes()
            peak = max(peak, live)
        return {"peakBytes": peak}
