"""The engine's model in PyTorch, written for speed: batched, fused projections, scaled_dot_product_attention.

The mathematics is that of test/golden/make_tiny_vlm.py, and weights come from the files that the engine saves;
q, k, v and gate, up are concatenated on loading, since one wide product is faster than several narrow ones.

Shapes: B sequences, T tokens, C channels, H query heads, G key-value heads, D head size, V vocabulary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn

Spec = dict


class Attention(nn.Module):
    """Causal grouped-query attention with rotary positions."""

    def __init__(self, spec: Spec):
        super().__init__()
        self.heads, self.groups, self.size = spec["heads"], spec["keyValueHeads"], spec["headSize"]
        width = spec["width"]
        self.qkv = nn.Linear(width, (self.heads + 2 * self.groups) * self.size, bias=False)
        self.out = nn.Linear(self.heads * self.size, width, bias=False)

    def project(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, C) -> q (B, H, T, D), k and v (B, G, T, D), rotated; cos and sin (T, 1, D)."""
        qkv = self.qkv(x).unflatten(-1, (-1, self.size))
        qk, v = qkv.split([self.heads + self.groups, self.groups], dim=2)
        first, second = qk.chunk(2, dim=-1)
        turned = torch.cat([-second, first], dim=-1)
        qk = torch.addcmul(qk * cos, turned, sin) if cos.dtype == qk.dtype else qk * cos + turned * sin
        q, k = qk.split([self.heads, self.groups], dim=2)
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)

    def mix(self, q: Tensor, k: Tensor, v: Tensor, **mask: Tensor | bool) -> Tensor:
        """Attention output (B, T, C)."""
        mixed = F.scaled_dot_product_attention(q, k, v, enable_gqa=self.heads != self.groups, **mask)
        return self.out(mixed.transpose(1, 2).flatten(2))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        return self.mix(*self.project(x, cos, sin), is_causal=True)


class GatedMlp(nn.Module):
    """SwiGLU: down(silu(gate(x)) * up(x))."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)


class DecoderLayer(nn.Module):
    def __init__(self, spec: Spec):
        super().__init__()
        self.norm1 = nn.RMSNorm(spec["width"], spec["normEpsilon"])
        self.attention = Attention(spec)
        self.norm2 = nn.RMSNorm(spec["width"], spec["normEpsilon"])
        self.mlp = GatedMlp(spec["width"], spec["mlpWidth"])

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x), cos, sin)
        return x + self.mlp(self.norm2(x))


class Decoder(nn.Module):
    """Token embeddings to hidden states; `head` maps those to logits where they are wanted."""

    def __init__(self, spec: Spec):
        super().__init__()
        self.scale = spec["embeddingScale"]
        self.embed = nn.Embedding(spec["vocabularySize"], spec["width"])
        self.layers = nn.ModuleList(DecoderLayer(spec) for _ in range(spec["layers"]))
        self.norm = nn.RMSNorm(spec["width"], spec["normEpsilon"])
        self.head = nn.Linear(spec["width"], spec["vocabularySize"], bias=False)

        half = spec["headSize"] // 2
        frequencies = spec["ropeTheta"] ** (-torch.arange(half, dtype=torch.float64) / half)
        angles = torch.arange(spec["maxPositions"], dtype=torch.float64)[:, None, None] * frequencies
        self.register_buffer("cos", angles.cos().repeat(1, 1, 2).float(), persistent=False)
        self.register_buffer("sin", angles.sin().repeat(1, 1, 2).float(), persistent=False)

    def rope(self, positions: slice | Tensor) -> tuple[Tensor, Tensor]:
        """cos and sin (T, 1, D) in the type that the projections come out in."""
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else self.cos.dtype
        return self.cos[positions].to(dtype), self.sin[positions].to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Embedded inputs (B, T, C) -> hidden states (B, T, C) after the final norm."""
        cos, sin = self.rope(slice(x.shape[1]))
        for layer in self.layers:
            x = layer(x, cos, sin)
        return self.norm(x)


class VisionLayer(nn.Module):
    def __init__(self, spec: Spec):
        super().__init__()
        width = spec["width"]
        self.heads = spec["heads"]
        self.norm1 = nn.LayerNorm(width, spec["normEpsilon"])
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, spec["normEpsilon"])
        self.up = nn.Linear(width, spec["mlpWidth"])
        self.down = nn.Linear(spec["mlpWidth"], width)

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.transpose(1, 3).unbind(2)
        mixed = F.scaled_dot_product_attention(q, k, v)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Vision(nn.Module):
    """Images (I, channels, size, size) -> features (I, patches, decoder width): encoder and projector."""

    def __init__(self, spec: Spec, projector: Spec, output_width: int):
        super().__init__()
        self.patch = spec["patchSize"]
        patches = (spec["imageSize"] // self.patch) ** 2
        self.patch_embed = nn.Linear(spec["channels"] * self.patch**2, spec["width"])
        self.position = nn.Parameter(torch.zeros(patches, spec["width"]))
        self.layers = nn.ModuleList(VisionLayer(spec) for _ in range(spec["layers"]))
        self.norm = nn.LayerNorm(spec["width"], spec["normEpsilon"])
        self.up = nn.Linear(spec["width"], projector["hiddenWidth"])
        self.down = nn.Linear(projector["hiddenWidth"], output_width)

    def forward(self, images: Tensor) -> Tensor:
        patches = F.unfold(images, self.patch, stride=self.patch).transpose(1, 2)
        x = self.patch_embed(patches) + self.position
        for layer in self.layers:
            x = layer(x)
        return self.down(F.gelu(self.up(self.norm(x)), approximate="tanh"))


class VisionLanguageModel(nn.Module):
    """The whole model but for its value head, whose cost is negligible.

    The vision part is built only where `with_vision` asks for it: a text-only model never runs it.
    """

    def __init__(self, spec: Spec, with_vision: bool):
        super().__init__()
        self.vision = (
            Vision(spec["vision"], spec["projector"], spec["decoder"]["width"]) if with_vision else None
        )
        self.decoder = Decoder(spec["decoder"])

    def embed(
        self, tokens: Tensor, images: Tensor | None, image_of_row: Tensor | None, slots: Tensor | None
    ) -> Tensor:
        """Token embeddings (B, T, C) with image features at the flat positions `slots`, in order."""
        x = self.decoder.embed(tokens) * self.decoder.scale
        if self.vision is None:
            return x
        features = self.vision(images).index_select(0, image_of_row).flatten(0, 1).to(x.dtype)
        return x.flatten(0, 1).index_copy(0, slots, features).view_as(x)

    def log_probs(
        self,
        tokens: Tensor,
        targets: Tensor,
        rows: Tensor | None,
        images: Tensor | None = None,
        image_of_row: Tensor | None = None,
        slots: Tensor | None = None,
    ) -> Tensor:
        """Log-probs (N) of `targets`, predicted at the flat positions `rows` (None: at all) of tokens (B, T)."""
        hidden = self.decoder(self.embed(tokens, images, image_of_row, slots)).flatten(0, 1)
        logits = self.decoder.head(hidden if rows is None else hidden.index_select(0, rows))
        return -F.cross_entropy(logits.float(), targets, reduction="none")


def _engine_names(parameter: str) -> list[str]:
    """The engine's tensors whose concatenation is our parameter."""
    parts = {
        "decoder": {"qkv": ("q", "k", "v"), "gate_up": ("gate", "up")},
        "vision": {
            "qkv": ("attention.q", "attention.k", "attention.v"),
            "out": ("attention.out",),
            "up": ("mlp.up",),
            "down": ("mlp.down",),
        },
    }
    *path, module, kind = parameter.split(".")
    if path == ["vision"] and module in ("up", "down"):
        return [f"projector.{module}.{kind}"]
    if "layers" not in path:
        return [parameter]
    return [".".join([*path, part, kind]) for part in parts[path[0]].get(module, (module,))]


def load_model(spec: Spec, weights: str, with_vision: bool) -> VisionLanguageModel:
    """The model of a ModelSpec with the weights of a safetensors file that the engine saved (float32)."""
    model = VisionLanguageModel(spec, with_vision)
    with safe_open(weights, "pt") as file, torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.cat([file.get_tensor(part) for part in _engine_names(name)]))
    return model
