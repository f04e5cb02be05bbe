"""Writes image-processor.json: patterns as Pillow converts and resizes them.

    python test/golden/make_image_processor.py

Needs: pillow==13.0.0, numpy==2.4.6.
"""

import base64
import json
from pathlib import Path

import numpy as np
from PIL import Image

# (width, height, size, channels): a frame of the environments, odd ratios, enlargement, one axis unchanged.
CASES = [(300, 300, 96, 1), (37, 29, 16, 3), (301, 97, 24, 1), (11, 5, 17, 3), (40, 64, 64, 1), (8, 8, 8, 3)]


def pattern(width: int, height: int) -> np.ndarray:
    """(height, width, 3) bytes with gradients, edges and fine texture; the test computes the same."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    edges = (x // 17 + y // 23) % 2
    return ((7 * y + 13 * x + 29 * c + 5 * ((x * y) % 11) + 90 * edges) % 256).astype(np.uint8)


def main() -> None:
    cases = []
    for width, height, size, channels in CASES:
        image = Image.fromarray(pattern(width, height))
        if channels == 1:
            image = image.convert("L")
        samples = np.asarray(image.resize((size, size), Image.Resampling.BOX))
        planes = samples.reshape(size, size, channels).transpose(2, 0, 1)
        cases.append(
            {
                "width": width,
                "height": height,
                "size": size,
                "channels": channels,
                "samples": base64.b64encode(planes.tobytes()).decode(),
            }
        )
    lines = ",\n".join(json.dumps(case) for case in cases)
    (Path(__file__).resolve().parent / "image-processor.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
