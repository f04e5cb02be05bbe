"""The case "matmul": y (m, n) = x (m, k) w^T with w (n, k), through PyTorch's linear or oneDNN's packed weights.

"Packed" is what torch.compile uses for frozen weights: the weight is reordered once into the blocked layout that
oneDNN chooses for m rows, and every product reads that. Not packed is F.linear on the plain weight.
"""

from __future__ import annotations

import time

import torch
import torch.nn.functional as F

from torch_train import Unsupported

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
# Products are repeated until a timed block lasts about this long, far above the clock's and the call's grain.
BLOCK_SECONDS = 0.02


class Matmul:
    """One opened matmul case; the operands are its own."""

    def __init__(self, settings: dict):
        m, n, k = settings["m"], settings["n"], settings["k"]
        dtype = TYPES.get(settings["dtype"])
        if dtype is None:
            raise Unsupported(f"dtype: expected {' or '.join(TYPES)}, received {settings['dtype']!r}")
        generator = torch.Generator().manual_seed(0)
        self.x = torch.randn(m, k, generator=generator).to(dtype)
        self.weight = torch.randn(n, k, generator=generator).to(dtype)
        self.packed = None
        if settings["packed"]:
            self.packed = torch.ops.mkldnn._reorder_linear_weight(self.weight, m)
        self.repeats = 1
        self.repeats = max(1, round(BLOCK_SECONDS / min(self.run()["seconds"] for _ in range(3))))

    def _product(self) -> torch.Tensor:
        if self.packed is None:
            return F.linear(self.x, self.weight)
        return torch.ops.mkldnn._linear_pointwise(self.x, self.packed, None, "none", [], "")

    @torch.no_grad()
    def check(self) -> dict:
        """Largest error against float64, relative to the largest result."""
        exact = self.x.double() @ self.weight.double().T
        error = (self._product().double() - exact).abs().max() / exact.abs().max()
        return {"relativeError": error.item()}

    @torch.no_grad()
    def run(self) -> dict:
        """Seconds per product, the mean over a block of them."""
        start = time.perf_counter()
        for _ in range(self.repeats):
            self._product()
        return {"seconds": (time.perf_counter() - start) / self.repeats}
