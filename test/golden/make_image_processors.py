"""Writes image-resizes.json and image-processors.json: patterns as Pillow resizes them, and as the processors of
Hugging Face Transformers make pixel values of them.

    python test/golden/make_image_processors.py

Needs: transformers==5.23.0, pillow==13.0.0, numpy==2.4.6, torch==2.13.0 (for the packing of LLaVA-1.6 alone).
"""

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_next.modeling_llava_next import LlavaNextModel
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

FOLDER = Path(__file__).resolve().parent


def pattern(width: int, height: int) -> np.ndarray:
    """(height, width, 3) bytes with gradients, edges and fine texture; the tests compute the same."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    edges = (x // 17 + y // 23) % 2
    return ((7 * y + 13 * x + 29 * c + 5 * ((x * y) % 11) + 90 * edges) % 256).astype(np.uint8)


# (from, to), width x height: frames of the environments, odd ratios, single pixels, one axis unchanged, strong reduction.
RESIZES = [
    ((300, 300), (336, 336)),
    ((300, 300), (337, 336)),
    ((300, 300), (84, 84)),
    ((160, 210), (168, 224)),
    ((37, 29), (101, 53)),
    ((301, 97), (24, 31)),
    ((11, 5), (17, 3)),
    ((40, 64), (64, 64)),
    ((40, 64), (40, 7)),
    ((8, 8), (8, 8)),
    ((1, 1), (5, 3)),
    ((7, 3), (1, 1)),
    ((1, 90), (3, 11)),
    ((1031, 3), (2, 5)),
    ((2, 2), (700, 1)),
    ((640, 480), (47, 480)),
]
FILTERS = ["box", "bilinear", "bicubic", "lanczos"]


def sha256(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


def resize_cases() -> list[dict]:
    cases = []
    for (width, height), (to_width, to_height) in RESIZES:
        for channels in (3, 1):
            image = Image.fromarray(pattern(width, height))
            if channels == 1:
                image = image.getchannel("G")
            for name in FILTERS:
                resized = np.asarray(image.resize((to_width, to_height), Image.Resampling[name.upper()]))
                cases.append(
                    {
                        "from": [width, height],
                        "to": [to_width, to_height],
                        "channels": channels,
                        "filter": name,
                        "sha256": sha256(resized),
                    }
                )
    return cases


HALVES = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
CLIP = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
}


def clip_sizes(shortest_edge: int, crop: int) -> dict:
    return {
        "size": {"shortest_edge": shortest_edge},
        "do_center_crop": True,
        "crop_size": {"height": crop, "width": crop},
    }


PINPOINTS = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
SMALL_PINPOINTS = [[32, 64], [64, 32], [64, 64], [96, 32], [32, 96]]
ODD = [(30, 30), (45, 20), (20, 64), (33, 32), (97, 13), (1, 1), (2, 61), (101, 103)]

# name, class, what the file says, width x height of the frames.
# The tiny family has no class there; SigLIP's, which only resizes and normalises, does the same to a grey image.
GREY = {"do_grayscale": True, "image_mean": [0.3], "image_std": [0.7], "resample": 4}
PROCESSORS = [
    (
        "tiny-vlm, grey",
        "TinyVlmImageProcessor",
        {**GREY, "size": {"height": 96, "width": 96}},
        [(300, 300), (37, 29), (301, 97), (96, 7)],
    ),
    ("clip", CLIPImageProcessorPil, {**CLIP, **clip_sizes(336, 336)}, [(300, 300), (160, 210), (640, 480), (337, 336)]),
    ("clip, small", CLIPImageProcessorPil, {**CLIP, **clip_sizes(29, 29)}, ODD),
    ("clip, crop of more", CLIPImageProcessorPil, {**CLIP, **clip_sizes(28, 33)}, ODD),
    ("siglip", SiglipImageProcessorPil, {**HALVES, "size": {"height": 384, "width": 384}, "resample": 3}, [(300, 300)]),
    ("siglip, small", SiglipImageProcessorPil, {**HALVES, "size": {"height": 21, "width": 34}, "resample": 2}, ODD),
    ("llava, padded", LlavaImageProcessorPil, {**CLIP, **clip_sizes(336, 336), "do_pad": True}, [(300, 300), (160, 210)]),
    ("llava, padded, small", LlavaImageProcessorPil, {**CLIP, **clip_sizes(28, 28), "do_pad": True}, ODD),
    (
        "llava-next",
        LlavaNextImageProcessorPil,
        {**CLIP, **clip_sizes(336, 336), "image_grid_pinpoints": PINPOINTS, "do_pad": True},
        [(300, 300), (84, 84), (160, 210), (210, 160), (300, 200), (600, 300), (640, 480), (672, 672), (1280, 720)],
    ),
    (
        "llava-next, small",
        LlavaNextImageProcessorPil,
        {**CLIP, **clip_sizes(32, 32), "image_grid_pinpoints": SMALL_PINPOINTS},
        ODD,
    ),
    (
        "smolvlm",
        SmolVLMImageProcessorPil,
        {**HALVES, "size": {"longest_edge": 2048}, "max_image_size": {"longest_edge": 512}, "do_image_splitting": False},
        [(300, 300)],
    ),
    (
        "smolvlm, split",
        SmolVLMImageProcessorPil,
        {**HALVES, "size": {"longest_edge": 128}, "max_image_size": {"longest_edge": 32}, "do_image_splitting": True},
        [*ODD, (300, 300), (640, 480)],
    ),
    (
        "idefics3, odd sizes",
        Idefics3ImageProcessorPil,
        {**HALVES, "size": {"longest_edge": 101}, "max_image_size": {"longest_edge": 27}},
        ODD,
    ),
    (
        "idefics3, at most one tile",
        Idefics3ImageProcessorPil,
        {**HALVES, "size": {"longest_edge": 30}, "max_image_size": {"longest_edge": 32}},
        ODD,
    ),
    (
        "qwen2-vl",
        Qwen2VLImageProcessorPil,
        {**CLIP, "min_pixels": 3136, "max_pixels": 12845056, "patch_size": 14, "temporal_patch_size": 2, "merge_size": 2},
        [(300, 300), (84, 84), (160, 210), (210, 160), (640, 480), (70, 42), (98, 14)],
    ),
    (
        "qwen2-vl, few pixels",
        Qwen2VLImageProcessorPil,
        {**CLIP, "size": {"shortest_edge": 6000, "longest_edge": 9000}, "patch_size": 14, "merge_size": 2},
        [*ODD, (300, 300), (1000, 6)],
    ),
    (
        "qwen3-vl",
        Qwen2VLImageProcessorPil,
        {**HALVES, "size": {"shortest_edge": 65536, "longest_edge": 16777216}, "patch_size": 16, "merge_size": 2},
        [(300, 300), (160, 210)],
    ),
    (
        "qwen2-vl, odd sizes",
        Qwen2VLImageProcessorPil,
        {**CLIP, "size": {"shortest_edge": 100, "longest_edge": 900}, "patch_size": 3, "merge_size": 3, "temporal_patch_size": 1},
        ODD,
    ),
]


def packed_rows(image_size: tuple[int, int], pinpoints: list, tile: int, patch: int, tiles: int) -> np.ndarray:
    """The rows that LLaVA-1.6 takes of its features, by number, -1 for the newline: the model's own packing of numbers."""
    side = tile // patch
    features = torch.arange(tiles * side * side, dtype=torch.float64).view(tiles, side * side, 1)
    config = SimpleNamespace(
        vision_config=SimpleNamespace(image_size=tile, patch_size=patch), image_grid_pinpoints=pinpoints
    )
    packed, _ = LlavaNextModel.pack_image_features(
        SimpleNamespace(config=config),
        [features],
        torch.tensor([image_size]),
        vision_feature_select_strategy="default",
        image_newline=torch.tensor([-1.0], dtype=torch.float64),
    )
    return torch.cat(list(packed)).numpy().astype(np.int32).reshape(-1)


def processor_case(processor, config: dict, width: int, height: int) -> dict:
    image = Image.fromarray(pattern(width, height))
    if config.get("do_grayscale"):
        image = image.convert("L")
    splits = isinstance(processor, (Idefics3ImageProcessorPil, SmolVLMImageProcessorPil))
    output = processor(image, return_row_col_info=True) if splits else processor(image)
    pixels = np.asarray(output["pixel_values"])
    if "image_grid_thw" not in output:
        pixels = pixels[0]
        if pixels.ndim == 3:
            pixels = pixels[None]
    assert pixels.dtype == np.float32
    flat = pixels.reshape(-1)
    case = {
        "frame": [width, height],
        "shape": list(pixels.shape),
        "sha256": sha256(pixels),
        "samples": [float(flat[i * (flat.size - 1) // 4]) for i in range(5)],
    }
    if "rows" in output:
        case["rows"], case["columns"] = int(output["rows"][0][0]), int(output["cols"][0][0])
    if "image_grid_thw" in output:
        case["grid"] = [int(n) for n in output["image_grid_thw"][0]]
    if "image_sizes" in output:
        tile = config["crop_size"]["height"]
        patch = 14 if tile == 336 else 8
        rows = packed_rows((height, width), config["image_grid_pinpoints"], tile, patch, pixels.shape[0])
        case["patchSize"], case["tokens"], case["rowsSha256"] = patch, rows.size, sha256(rows)
    return case


def main() -> None:
    def write(name: str, cases: list[dict]) -> None:
        lines = ",\n".join(json.dumps(case) for case in cases)
        (FOLDER / name).write_text(f"[\n{lines}\n]\n")

    write("image-resizes.json", resize_cases())
    families = []
    for name, cls, config, frames in PROCESSORS:
        if isinstance(cls, str):
            processor = SiglipImageProcessorPil(do_convert_rgb=False, **config)
            kind = cls
        else:
            processor = cls(**config)
            kind = cls.__name__.removesuffix("Pil")
        file = {"image_processor_type": kind, **config}
        cases = [processor_case(processor, config, width, height) for width, height in frames]
        families.append({"name": name, "config": file, "cases": cases})
    write("image-processors.json", families)


if __name__ == "__main__":
    main()
