"""Writes models/: a tiny model of each family with random weights, as a folder that Hugging Face Transformers saves, and what Transformers
and PEFT compute with it.

    python test/golden/make_models.py [name ...]

Needs: transformers==5.23.0, peft==0.21.2, torch==2.13.0, tokenizers==0.23.3, pillow==13.0.0, safetensors==0.8.0 and the vocabularies of
make_prompts.py. The output is a pure function of these versions and of the two files.

In each folder, beside the model's own files:
  case.json             prompts as the processor encodes them, hashes of its pixel values, responses, a greedy answer
  expected.safetensors  what the model computes in float32 with eager attention:
                          log_probs.I        of the tokens of response I, given its prompt
                          next.I             of every token of the vocabulary behind prompt I
                          coefficients.I     of the log-probs in a loss
                          gradient.NAME      of the loss, by Transformers' name of the parameter; of a large one, every nth element
                          adapter.KEY        the same three with the adapter, and gradients of its factors
  adapter/              the adapter, as PEFT saves it
Weights are drawn so that every part has its say: at the usual standard deviation of 0.02, wrong masks or positions hardly show.
"""

import copy
import hashlib
import json
import re
import shutil
import sys
from pathlib import Path

import numpy
import peft
import torch
import transformers
from model_families import FAMILIES, Case, Family
from PIL import Image
from safetensors.torch import save_file

FOLDER = Path(__file__).resolve().parent / "models"
GREEDY_TOKENS = 64
# A prime, so that every row and column of a matrix has its turn.
KEPT_ELEMENTS, STRIDES = 384, [7, 13, 29, 61, 113, 211]


def image_pattern(width: int, height: int) -> Image.Image:
    """That of image-pattern.ts."""
    y, x, c = numpy.meshgrid(numpy.arange(height), numpy.arange(width), numpy.arange(3), indexing="ij")
    edges = (x // 17 + y // 23) % 2
    return Image.fromarray(((7 * y + 13 * x + 29 * c + 5 * ((x * y) % 11) + 90 * edges) % 256).astype(numpy.uint8))


def draw_weights(model: torch.nn.Module, dtype: torch.dtype, seed: int) -> None:
    """Random weights of what `dtype` can hold, in float32."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        normal = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim == 1:
            # Of norms, biases and the vectors that stand for a class or a newline.
            drawn = normal * 0.3 + (1 if "norm" in name and name.endswith("weight") or name.endswith("ln_q.weight") else 0)
        elif "embed" in name or "lm_head" in name:
            drawn = normal * (0.1 if "patch" in name else 0.4)
        else:
            drawn = normal * max(0.1, parameter.shape[1] ** -0.5)
        parameter.data = drawn.to(dtype).float()


def encode(family: Family, case: Case) -> dict:
    processor = family.processor
    sees_images = hasattr(processor, "image_processor")
    content = [*({"type": "image"} for _ in case.frames), {"type": "text", "text": case.text}]
    messages = [{"role": "user", "content": content if sees_images else case.text}]
    rendered = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    if not sees_images:
        begins = processor.bos_token is not None and rendered.startswith(processor.bos_token)
        return dict(processor(rendered, add_special_tokens=not begins, return_tensors="pt"))
    images = [image_pattern(*frame) for frame in case.frames]
    return dict(processor(text=[rendered], images=[images], return_tensors="pt", **case.processor_settings))


def pixel_hashes(inputs: dict, case: Case) -> list[str]:
    """Of what the processor makes of each frame alone; padding between images of several views is left out."""
    pixels = inputs.get("pixel_values")
    if pixels is None:
        return []
    if "image_grid_thw" in inputs:
        parts = pixels.split(inputs["image_grid_thw"].prod(dim=1).tolist())
    elif pixels.ndim == 5 and "image_sizes" not in inputs:
        parts = [views for views in pixels[0].split(pixels.shape[1] // len(case.frames))]
    elif pixels.ndim == 5:
        parts = [torch.stack([view for view in views if bool((view != 0).any())]) for views in pixels]
    else:
        parts = list(pixels)
    assert len(parts) == len(case.frames)
    return [hashlib.sha256(part.contiguous().numpy().tobytes()).hexdigest()[:16] for part in parts]


def extended(inputs: dict, response: list[int]) -> dict:
    more = torch.tensor([response], dtype=torch.long)
    result = dict(inputs, input_ids=torch.cat([inputs["input_ids"], more], dim=1))
    result["attention_mask"] = torch.ones_like(result["input_ids"])
    for key in ("mm_token_type_ids", "token_type_ids"):
        if key in result:
            result[key] = torch.cat([result[key], torch.zeros_like(more)], dim=1)
    return result


def response_log_probs(model: torch.nn.Module, inputs: dict, response: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the response's tokens, and of the whole vocabulary at the first of them."""
    start = inputs["input_ids"].shape[1] - 1
    logits = model(**extended(inputs, response), use_cache=False).logits[0, start:-1]
    all_of_them = torch.log_softmax(logits.float(), dim=-1)
    return all_of_them.gather(1, torch.tensor(response)[:, None])[:, 0], all_of_them[0]


def kept(tensor: torch.Tensor) -> torch.Tensor:
    flat = tensor.detach().flatten()
    if len(flat) <= KEPT_ELEMENTS:
        return flat.clone()
    stride = next((s for s in STRIDES if len(flat) / s <= KEPT_ELEMENTS), STRIDES[-1])
    return flat[::stride].clone()


def compute(model: torch.nn.Module, inputs: list[dict], responses: list, coefficients: list) -> dict[str, torch.Tensor]:
    model.zero_grad()
    result = {}
    for i, (given, response, factors) in enumerate(zip(inputs, responses, coefficients)):
        log_probs, following = response_log_probs(model, given, response)
        (log_probs * factors).sum().backward()
        result[f"log_probs.{i}"] = log_probs.detach()
        result[f"next.{i}"] = following.detach()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and parameter.grad is not None:
            result[f"gradient.{name.replace('.default.', '.')}"] = kept(parameter.grad)
    return {key: tensor.clone().contiguous() for key, tensor in result.items()}


def greedy(model: torch.nn.Module, inputs: dict) -> tuple[list[int], list[float]]:
    """The answer, however often it would end, and by how much each token's logit surpasses the next."""
    output = model.generate(
        **inputs, do_sample=False, max_new_tokens=GREEDY_TOKENS, min_new_tokens=GREEDY_TOKENS,
        output_logits=True, return_dict_in_generate=True, use_cache=True, pad_token_id=0,
    )  # fmt: skip
    tokens = output.sequences[0, -GREEDY_TOKENS:].tolist()
    two = torch.stack([torch.topk(logits[0].float(), 2).values for logits in output.logits])
    return tokens, (two[:, 0] - two[:, 1]).tolist()


def greedy_of_any_seed(family: Family, inputs: dict, special: set[int]) -> tuple[int, list[int], list[float]]:
    """The first seed whose model answers at length, in many words, and never nearly has two answers."""
    for seed in range(200):
        draw_weights(family.model, family.dtype, seed)
        tokens, gaps = greedy(family.model, inputs)
        if not special & set(tokens) and min(gaps) > 1e-3 and len(set(tokens)) >= 6:
            return seed, tokens, gaps
    raise RuntimeError("no seed of 200 has a model that answers as wanted")


def add_adapter(family: Family) -> peft.PeftModel:
    config = peft.LoraConfig(r=4, lora_alpha=6, target_modules=family.targets, task_type="CAUSAL_LM")
    model = peft.get_peft_model(family.model, config)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.15
    return model.eval()


def compact_json(folder: Path) -> None:
    for path in folder.glob("*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()), ensure_ascii=False, separators=(",", ":")) + "\n")


def write(name: str, family: Family) -> None:
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    model = family.model.eval()
    model.set_attn_implementation("eager")
    model.generation_config = transformers.GenerationConfig.from_model_config(model.config)
    inputs = [encode(family, case) for case in family.cases]
    tokenizer = getattr(family.processor, "tokenizer", family.processor)
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    seed, tokens, gaps = greedy_of_any_seed(family, inputs[0], special)

    # A copy, because rotary frequencies would be rounded with it.
    copy.deepcopy(model).to(family.dtype).save_pretrained(folder, max_shard_size=family.shard_size)
    family.processor.save_pretrained(folder)

    generator = torch.Generator().manual_seed(2)
    ordinary = [token for token in range(len(tokenizer)) if token not in special]
    responses, coefficients = [], []
    for i in range(len(inputs)):
        length = 17 if i == 0 else 5
        drawn = torch.randint(len(ordinary), (length,), generator=generator).tolist()
        responses.append([ordinary[index] for index in drawn])
        coefficients.append(torch.randn(length, generator=generator))
    expected = compute(model, inputs, responses, coefficients)
    for i, factors in enumerate(coefficients):
        expected[f"coefficients.{i}"] = factors
    adapted = add_adapter(family)
    expected.update({f"adapter.{key}": value for key, value in compute(adapted, inputs, responses, coefficients).items()})
    adapted.save_pretrained(folder / "adapter")
    (folder / "adapter" / "README.md").unlink(missing_ok=True)
    adapter_config = folder / "adapter" / "adapter_config.json"
    content = json.loads(adapter_config.read_text())
    adapter_config.write_text(json.dumps(dict(content, base_model_name_or_path=None), indent=2, sort_keys=True) + "\n")

    save_file(expected, folder / "expected.safetensors")
    cases = [
        {
            "text": case.text,
            "frames": case.frames,
            "settings": case.settings,
            "tokens": given["input_ids"][0].tolist(),
            "pixels": pixel_hashes(given, case),
            "response": response,
        }
        for case, given, response in zip(family.cases, inputs, responses)
    ]
    versions = {library.__name__: library.__version__ for library in (torch, transformers, peft)}
    content = {"versions": versions, "seed": seed, "cases": cases, "greedy": {"tokens": tokens, "gaps": gaps}}
    (folder / "case.json").write_text(json.dumps(content))
    compact_json(folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{name}: seed {seed}, least gap {min(gaps):.4f}, {len(set(tokens))} distinct tokens, {size / 1000:.0f} kB")


def main() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}")
    names = set(sys.argv[1:])
    for make in FAMILIES:
        name = re.sub("_", "-", make.__name__)
        if not names or name in names:
            write(name, make())


if __name__ == "__main__":
    main()
