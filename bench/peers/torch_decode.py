"""The case "decode": greedy generation with a key-value cache that is allocated once.

`run` times the decode steps alone, the second of two times: the first finds the caches as another contestant left
them. The prompt is processed when the case is opened; every run starts behind it again, from the same token, so all
runs do the same work.

Variants: eager attends over the filled part of the cache; compile attends over all of it under a mask, so that one
compiled step serves every position, with frozen weights (which lets the compiler prepack them for oneDNN) and its
C++ wrapper (which spares most of the interpreter's time per step). In bf16 the weights and the cache are bfloat16.
"""

from __future__ import annotations

import time

import torch
from torch import Tensor

from torch_models import Decoder, load_model
from torch_train import Unsupported

VARIANTS = ("eager", "compile")
CHECKED_TOKENS = 8


class CachedDecoder:
    """A decoder with room for `length` positions of `batch` sequences, all of them equally far along."""

    def __init__(self, decoder: Decoder, batch: int, length: int, compiled: bool):
        self.decoder = decoder
        attention = decoder.layers[0].attention
        shape = (batch, attention.groups, length, attention.size)
        dtype = decoder.head.weight.dtype
        self.keys = [torch.zeros(shape, dtype=dtype) for _ in decoder.layers]
        self.values = [torch.zeros(shape, dtype=dtype) for _ in decoder.layers]
        self.positions = torch.arange(length)
        self.masked_step = None
        if compiled:
            options = {"freezing": True, "cpp_wrapper": True}
            self.masked_step = torch.compile(self._masked_step, dynamic=False, options=options)

    def _layers(self, x: Tensor, positions: slice | Tensor, attend) -> Tensor:
        """Next tokens (B) after x (B, T, C); `attend(layer index, q, k, v)` stores k and v and mixes."""
        decoder = self.decoder
        cos, sin = decoder.rope(positions)
        for i, layer in enumerate(decoder.layers):
            q, k, v = layer.attention.project(layer.norm1(x), cos, sin)
            x = x + attend(i, layer.attention, q, k, v)
            x = x + layer.mlp(layer.norm2(x))
        return decoder.head(decoder.norm(x[:, -1])).argmax(-1)

    def prefill(self, x: Tensor) -> Tensor:
        """Stores embedded prompts x (B, T, C) from position 0 on; returns the tokens (B) that follow."""

        def attend(i, attention, q, k, v):
            self.keys[i][:, :, : k.shape[2]] = k
            self.values[i][:, :, : v.shape[2]] = v
            return attention.mix(q, k, v, is_causal=True)

        return self._layers(x, slice(x.shape[1]), attend)

    def step(self, tokens: Tensor, position: int) -> Tensor:
        """Appends tokens (B) at `position`; returns those that follow."""
        if self.masked_step is not None:
            place = self.positions[position : position + 1]
            return self.masked_step(tokens, place, self.positions, self.keys, self.values)

        def attend(i, attention, q, k, v):
            self.keys[i][:, :, position : position + 1] = k
            self.values[i][:, :, position : position + 1] = v
            seen = position + 1
            return attention.mix(q, self.keys[i][:, :, :seen], self.values[i][:, :, :seen])

        return self._layers(self._embed(tokens), slice(position, position + 1), attend)

    def _embed(self, tokens: Tensor) -> Tensor:
        return self.decoder.embed(tokens[:, None]) * self.decoder.scale

    def _masked_step(
        self, tokens: Tensor, place: Tensor, positions: Tensor, keys: list[Tensor], values: list[Tensor]
    ) -> Tensor:
        mask = (positions <= place)[None, None, None, :]

        def attend(i, attention, q, k, v):
            keys[i].index_copy_(2, place, k)
            values[i].index_copy_(2, place, v)
            return attention.mix(q, keys[i], values[i], attn_mask=mask)

        return self._layers(self._embed(tokens), place, attend)


class Decode:
    """One opened decode case."""

    def __init__(self, settings: dict):
        prompts, precision, variant = settings["prompts"], settings["precision"], settings["variant"]
        if variant not in VARIANTS or precision not in ("fp32", "bf16"):
            expected = f"{' or '.join(VARIANTS)} at fp32 or bf16"
            raise Unsupported(f"decode: expected {expected}, received {variant!r} at {precision!r}")
        if len({len(prompt) for prompt in prompts}) != 1:
            raise Unsupported("decode: prompts of one length only, so that no position is padding")
        self.steps, self.start = settings["newTokens"], len(prompts[0])

        decoder = load_model(settings["model"], settings["weights"], with_vision=False).decoder
        decoder.requires_grad_(False)
        if precision == "bf16":
            decoder.bfloat16()
        length = self.start + self.steps
        self.decoder = CachedDecoder(decoder, len(prompts), length, variant == "compile")
        with torch.no_grad():
            self.first = self.decoder.prefill(decoder.embed(torch.tensor(prompts)) * decoder.scale)

    @torch.no_grad()
    def _generate(self, steps: int) -> list[Tensor]:
        tokens = [self.first]
        for i in range(steps):
            tokens.append(self.decoder.step(tokens[-1], self.start + i))
        return tokens

    def check(self) -> dict:
        """The first tokens of every row; the first of them comes from the prompt's pass."""
        tokens = self._generate(min(CHECKED_TOKENS - 1, self.steps))
        return {"tokens": torch.stack(tokens, dim=1).tolist()}

    def run(self) -> dict:
        """Seconds for all `newTokens` steps of the whole batch, the second time."""
        self._generate(self.steps)
        start = time.perf_counter()
        self._generate(self.steps)
        return {"seconds": time.perf_counter() - start}
