"""Writes tiny-vlm/: a small model, three sequences, and what the engine must compute for them.

    python test/golden/make_tiny_vlm.py

Needs: torch==2.13.0, numpy==2.4.6, safetensors==0.8.0.

An implementation of the model in plain PyTorch, one sequence at a time, in float64. The loss
    L = sum_t a_t log p(y_t) + sum_t c_t H_t + sum_s b_s V_s
with given coefficients reaches every parameter. The same in float32 shows how much rounding alone changes
each result, and once more with the engine's bfloat16: the operands of every linear layer's products, forward and
backward, are rounded to it, and so is all that lies between two products, with its gradient. The test allows the
engine a small multiple of either.

  model.safetensors     the weights (float32)
  expected.safetensors  images, coefficients, log-probs, entropies, values (float64), gradients (float32)
  case.json             model spec, sequences, temperature, largest error of the float32 and the bfloat16 run per result
"""

import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

# Odd sizes, a query width that is not the decoder's, grouped heads, and epsilons large enough to show.
SPEC = {
    "vision": {
        "kind": "fixed_resolution",
        "imageSize": 24,
        "channels": 3,
        "patchSize": 8,
        "patchBias": True,
        "classToken": False,
        "inputNorm": False,
        "outputNorm": True,
        "width": 24,
        "layers": 2,
        "heads": 3,
        "mlpWidth": 37,
        "activation": "gelu_tanh",
        "normEpsilon": 1e-3,
    },
    "projector": {
        "mergeSize": 1,
        "normEpsilon": None,
        "hiddenWidth": 29,
        "activation": "gelu_tanh",
        "bias": True,
        "newline": False,
    },
    "decoder": {
        "vocabularySize": 61,
        "width": 40,
        "layers": 2,
        "heads": 4,
        "keyValueHeads": 2,
        "headSize": 12,
        "mlpWidth": 53,
        "qkvBias": False,
        "tiedHead": False,
        "normEpsilon": 2e-3,
        "ropeTheta": 100,
        "ropeSections": None,
        "embeddingScale": 2.5,
        "maxPositions": 40,
    },
    "valueHead": {"hiddenWidths": [19, 7], "trunkGradientScale": 0.3},
    "imageTokenId": 3,
    "endTokenId": 2,
}
TEMPERATURE = 0.7

IMAGE = [SPEC["imageTokenId"]] * 9
# The first and the last share their prompt; the second has the shortest response possible.
SEQUENCES = [
    {"prompt": [1, 17, *IMAGE, 40, 8, 8, 25], "image": 0, "response": [12, 60, 5, 5, 33, 9, 2]},
    {"prompt": [1, *IMAGE, 52], "image": 1, "response": [44]},
    {"prompt": [1, 17, *IMAGE, 40, 8, 8, 25], "image": 0, "response": [12, 7, 58, 0, 21]},
]

Parameters = dict[str, Tensor]


def shapes() -> dict[str, tuple[int, ...]]:
    vision, decoder, value_head = SPEC["vision"], SPEC["decoder"], SPEC["valueHead"]
    width = vision["width"]
    patch = vision["channels"] * vision["patchSize"] ** 2
    result: dict[str, tuple[int, ...]] = {}

    def linear(name: str, outputs: int, inputs: int, bias: bool = True) -> None:
        result[f"{name}.weight"] = (outputs, inputs)
        if bias:
            result[f"{name}.bias"] = (outputs,)

    linear("vision.patch_embed", width, patch)
    result["vision.position"] = ((vision["imageSize"] // vision["patchSize"]) ** 2, width)
    norms = ["vision.norm"]
    for i in range(vision["layers"]):
        layer = f"vision.layers.{i}"
        norms += [f"{layer}.norm1", f"{layer}.norm2"]
        for part in ("q", "k", "v", "out"):
            linear(f"{layer}.attention.{part}", width, width)
        linear(f"{layer}.mlp.up", vision["mlpWidth"], width)
        linear(f"{layer}.mlp.down", width, vision["mlpWidth"])
    for norm in norms:
        result[f"{norm}.weight"] = result[f"{norm}.bias"] = (width,)

    linear("projector.up", SPEC["projector"]["hiddenWidth"], width)
    linear("projector.down", decoder["width"], SPEC["projector"]["hiddenWidth"])

    width = decoder["width"]
    queries = decoder["heads"] * decoder["headSize"]
    keys = decoder["keyValueHeads"] * decoder["headSize"]
    result["decoder.embed.weight"] = (decoder["vocabularySize"], width)
    for i in range(decoder["layers"]):
        layer = f"decoder.layers.{i}"
        result[f"{layer}.norm1.weight"] = result[f"{layer}.norm2.weight"] = (width,)
        linear(f"{layer}.attention.q", queries, width, bias=False)
        linear(f"{layer}.attention.k", keys, width, bias=False)
        linear(f"{layer}.attention.v", keys, width, bias=False)
        linear(f"{layer}.attention.out", width, queries, bias=False)
        linear(f"{layer}.mlp.gate", decoder["mlpWidth"], width, bias=False)
        linear(f"{layer}.mlp.up", decoder["mlpWidth"], width, bias=False)
        linear(f"{layer}.mlp.down", width, decoder["mlpWidth"], bias=False)
    result["decoder.norm.weight"] = (width,)
    linear("decoder.head", decoder["vocabularySize"], width, bias=False)

    widths = [width, *value_head["hiddenWidths"], 1]
    for i, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
        linear(f"value_head.layers.{i}", outputs, inputs)
    return result


def random_parameters(generator: torch.Generator) -> Parameters:
    """Large enough that attention is far from uniform and a wrong mask, position or epsilon shows."""
    parameters: Parameters = {}
    for name, shape in shapes().items():
        noise = torch.randn(shape, generator=generator)
        if "norm" in name and name.endswith("weight"):
            parameters[name] = 1 + 0.3 * noise
        elif name.endswith("bias"):
            parameters[name] = 0.3 * noise
        elif name in ("vision.position", "decoder.embed.weight"):
            parameters[name] = 0.5 * noise
        else:
            parameters[name] = 1.5 * noise / math.sqrt(shape[1])
    return parameters


class Bfloat16Product(torch.autograd.Function):
    """x W^T, and the products of its gradient, with operands rounded to bfloat16 and sums in the tensors' own type."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        x, weight = (operand.bfloat16().to(operand.dtype) for operand in (x, weight))
        ctx.save_for_backward(x, weight)
        return x @ weight.T

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        gradient = gradient.bfloat16().to(gradient.dtype)
        columns = gradient.reshape(-1, gradient.shape[-1])
        return gradient @ weight, columns.T @ x.reshape(-1, x.shape[-1])


class Bfloat16Storage(torch.autograd.Function):
    """x, and its gradient, rounded to bfloat16."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return x.bfloat16().to(x.dtype)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return gradient.bfloat16().to(gradient.dtype)


class Model:
    """
    The model in one floating-point type, or with all but the residual stream and the outputs stored as bfloat16.
    Shapes: T tokens, C channels, H heads, D head size.
    """

    def __init__(self, parameters: Parameters, bfloat16: bool):
        self.parameters = parameters
        self.product = Bfloat16Product.apply if bfloat16 else lambda x, weight: x @ weight.T
        self.store = Bfloat16Storage.apply if bfloat16 else lambda x: x
        self.dtype = next(iter(parameters.values())).dtype

    def linear(self, name: str, x: Tensor) -> Tensor:
        y = self.product(x, self.parameters[f"{name}.weight"])
        bias = self.parameters.get(f"{name}.bias")
        return y if bias is None else y + bias

    def heads(self, name: str, x: Tensor, head_size: int) -> Tensor:
        """(T, C) -> (H, T, D)."""
        return self.store(self.linear(name, x)).unflatten(-1, (-1, head_size)).transpose(0, 1)

    def layer_norm(self, name: str, x: Tensor) -> Tensor:
        weight, bias = self.parameters[f"{name}.weight"], self.parameters[f"{name}.bias"]
        return self.store(F.layer_norm(x, x.shape[-1:], weight, bias, SPEC["vision"]["normEpsilon"]))

    def rms_norm(self, name: str, x: Tensor) -> Tensor:
        mean_square = x.pow(2).mean(-1, keepdim=True)
        normalised = x / (mean_square + SPEC["decoder"]["normEpsilon"]).sqrt()
        return self.store(normalised * self.parameters[f"{name}.weight"])

    def attention(self, scores: Tensor, v: Tensor) -> Tensor:
        """(H, T, T), (H, T, D) -> (T, C)."""
        return self.store((torch.softmax(scores, dim=-1) @ v).transpose(0, 1).flatten(1))

    def gelu(self, x: Tensor) -> Tensor:
        return self.store(F.gelu(self.store(x), approximate="tanh"))

    def vision(self, image: Tensor) -> Tensor:
        """(channels, imageSize, imageSize) -> (T, decoder width), tokens row by row."""
        spec = SPEC["vision"]
        side, size = spec["imageSize"] // spec["patchSize"], spec["patchSize"]
        patches = image.reshape(spec["channels"], side, size, side, size).permute(1, 3, 0, 2, 4)
        x = self.linear("vision.patch_embed", patches.reshape(side * side, -1))
        x = x + self.parameters["vision.position"]
        for i in range(spec["layers"]):
            layer = f"vision.layers.{i}"
            h = self.layer_norm(f"{layer}.norm1", x)
            q, k, v = (
                self.heads(f"{layer}.attention.{part}", h, spec["width"] // spec["heads"])
                for part in ("q", "k", "v")
            )
            mixed = self.attention(q @ k.mT / math.sqrt(q.shape[-1]), v)
            x = x + self.linear(f"{layer}.attention.out", mixed)
            h = self.linear(f"{layer}.mlp.up", self.layer_norm(f"{layer}.norm2", x))
            x = x + self.linear(f"{layer}.mlp.down", self.gelu(h))
        h = self.linear("projector.up", self.layer_norm("vision.norm", x))
        return self.store(self.linear("projector.down", self.gelu(h)))

    def rotate(self, x: Tensor) -> Tensor:
        """(H, T, D): the pair (x_k, x_{k + D/2}) turns by position * theta^(-2k / D)."""
        half = SPEC["decoder"]["headSize"] // 2
        frequencies = SPEC["decoder"]["ropeTheta"] ** (-torch.arange(half, dtype=self.dtype) / half)
        angles = torch.arange(x.shape[1], dtype=self.dtype)[:, None] * frequencies
        cos, sin = angles.cos(), angles.sin()
        first, second = x[..., :half], x[..., half:]
        return self.store(torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1))

    def decoder(self, tokens: Tensor, image_features: Tensor) -> Tensor:
        """(T) -> (T, C) hidden states after the final norm."""
        spec = SPEC["decoder"]
        x = self.parameters["decoder.embed.weight"][tokens] * spec["embeddingScale"]
        x = x.index_put(((tokens == SPEC["imageTokenId"]).nonzero().flatten(),), image_features)
        is_future = torch.ones(len(tokens), len(tokens), dtype=torch.bool).triu(1)
        for i in range(spec["layers"]):
            layer = f"decoder.layers.{i}"
            h = self.rms_norm(f"{layer}.norm1", x)
            q, k, v = (
                self.heads(f"{layer}.attention.{part}", h, spec["headSize"]) for part in ("q", "k", "v")
            )
            group = spec["heads"] // spec["keyValueHeads"]
            k, v = self.rotate(k).repeat_interleave(group, 0), v.repeat_interleave(group, 0)
            scores = self.rotate(q) @ k.mT / math.sqrt(spec["headSize"])
            mixed = self.attention(scores.masked_fill(is_future, -math.inf), v)
            x = x + self.linear(f"{layer}.attention.out", mixed)
            h = self.rms_norm(f"{layer}.norm2", x)
            gate, up = (self.store(self.linear(f"{layer}.mlp.{part}", h)) for part in ("gate", "up"))
            x = x + self.linear(f"{layer}.mlp.down", self.store(F.silu(gate) * up))
        return self.rms_norm("decoder.norm", x)

    def value(self, hidden: Tensor) -> Tensor:
        """(C) -> (); the trunk receives a fraction of the gradient."""
        scale = SPEC["valueHead"]["trunkGradientScale"]
        x = scale * self.store(hidden) + (1 - scale) * hidden.detach()
        last = len(SPEC["valueHead"]["hiddenWidths"])
        for i in range(last):
            x = torch.relu(self.store(self.linear(f"value_head.layers.{i}", x)))
        return self.linear(f"value_head.layers.{last}", x).squeeze()

    def sequence(self, prompt: list[int], image: Tensor, response: list[int]) -> list[Tensor]:
        """Log-probs and entropies of the response tokens, and the value at the prompt's last token."""
        hidden = self.decoder(torch.tensor(prompt + response), self.vision(image))
        before = slice(len(prompt) - 1, -1)
        logits = self.linear("decoder.head", self.store(hidden[before]))
        log_probs = torch.log_softmax(logits / TEMPERATURE, dim=-1)
        chosen = log_probs.gather(1, torch.tensor(response)[:, None]).squeeze(1)
        return [chosen, -(log_probs.exp() * log_probs).sum(-1), self.value(hidden[len(prompt) - 1])]


def evaluate(
    parameters: Parameters, inputs: Parameters, dtype: torch.dtype, bfloat16: bool = False
) -> Parameters:
    """All expected results, computed in one floating-point type, or in the engine's mixture of it and bfloat16."""
    leaves = {name: tensor.to(dtype).requires_grad_() for name, tensor in parameters.items()}
    inputs = {name: tensor.to(dtype) for name, tensor in inputs.items()}
    model = Model(leaves, bfloat16)
    log_probs, entropies, values = zip(
        *(model.sequence(s["prompt"], inputs["images"][s["image"]], s["response"]) for s in SEQUENCES)
    )
    outputs = {
        "log_probs": torch.cat(log_probs),
        "entropies": torch.cat(entropies),
        "values": torch.stack(values),
    }
    loss = sum((inputs[f"coefficients.{name}"] * output).sum() for name, output in outputs.items())
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    return {
        **{name: output.detach() for name, output in outputs.items()},
        **{f"gradient.{name}": gradient for name, gradient in zip(leaves, gradients)},
    }


def main() -> None:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(20240516)
    parameters = random_parameters(generator)
    tokens = sum(len(sequence["response"]) for sequence in SEQUENCES)
    channels, size = SPEC["vision"]["channels"], SPEC["vision"]["imageSize"]
    inputs = {
        "images": torch.randn(2, channels, size, size, generator=generator),
        "coefficients.log_probs": torch.randn(tokens, generator=generator),
        "coefficients.entropies": torch.randn(tokens, generator=generator),
        "coefficients.values": torch.randn(len(SEQUENCES), generator=generator),
    }
    exact = evaluate(parameters, inputs, torch.float64)

    def errors(rounded: Parameters) -> dict[str, float]:
        return {name: (rounded[name] - exact[name]).abs().max().item() for name in exact}

    folder = Path(__file__).resolve().parent / "tiny-vlm"
    folder.mkdir(exist_ok=True)
    save_file(parameters, folder / "model.safetensors", {"format": "pt"})
    expected = {
        name: tensor.float() if name.startswith("gradient.") else tensor for name, tensor in exact.items()
    }
    save_file({**inputs, **expected}, folder / "expected.safetensors")
    case = {
        "spec": SPEC,
        "temperature": TEMPERATURE,
        "sequences": SEQUENCES,
        "float32Errors": errors(evaluate(parameters, inputs, torch.float32)),
        "bfloat16Errors": errors(evaluate(parameters, inputs, torch.float32, bfloat16=True)),
    }
    (folder / "case.json").write_text(json.dumps(case, indent=1) + "\n")


if __name__ == "__main__":
    main()
