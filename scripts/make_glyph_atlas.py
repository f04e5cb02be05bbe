"""Writes a glyph atlas: the printable ASCII characters of one font at one size, as Pillow draws them.

An atlas is two files, <font>-<size>.png (8-bit coverage, the characters side by side) and
<font>-<size>.json (where each stands and how to place it), that envs/gym-cards/rendering.ts draws text
from without a font engine. Pillow lays text out with Raqm (HarfBuzz): each character is rendered at a
whole pixel, and only the pen moves in 1/64 pixel, so one bitmap per character and one number per kerning
pair reproduce any line of text exactly. Ligatures (ff, fi, fl) are left out.

Needs Pillow 13.0.0 with Raqm; the same font file and Pillow wheel give the same bytes. Font and atlases:

  npm pack dejavu-fonts-ttf@2.37.3 && tar xzf dejavu-fonts-ttf-2.37.3.tgz
  python scripts/make_glyph_atlas.py package/ttf/DejaVuSans-Bold.ttf 36 assets/gym-cards/dejavu-sans-bold-36
"""

import argparse
import hashlib
import json
from pathlib import Path

import PIL
from PIL import Image, ImageFont, features

PILLOW_VERSION = "13.0.0"
CHARACTERS = [chr(code) for code in range(32, 127)]
NO_LIGATURES = ["-liga"]


def glyph(font, character):
    """Tight coverage bitmap of a character, or None for a blank one, and its place.

    `left` is relative to the pen and `top` to the ascender line, in pixels: text "at (x, y)" in Pillow's
    default anchor has its pen at x and its ascender line at y. `advance` is in 1/64 pixel.
    """
    mask, (offset_x, offset_y) = font.getmask2(character, mode="L", anchor="la")
    coverage = Image.frombytes("L", mask.size, bytes(mask))
    place = {"left": 0, "top": 0, "width": 0, "height": 0, "advance": sixty_fourths(font, character)}
    box = coverage.getbbox()
    if box is None:
        return None, place
    left, top, right, bottom = box
    place |= {"left": offset_x + left, "top": offset_y + top, "width": right - left, "height": bottom - top}
    return coverage.crop(box), place


def sixty_fourths(font, text):
    length = font.getlength(text, features=NO_LIGATURES) * 64
    assert length == int(length), f"{text!r} is {length} / 64 pixels long"
    return int(length)


def kerning(font, glyphs):
    """Change of the pen's advance between two characters, in 1/64 pixel, where it is not zero."""
    pairs = {}
    for first in CHARACTERS:
        for second in CHARACTERS:
            apart = glyphs[first]["advance"] + glyphs[second]["advance"]
            change = sixty_fourths(font, first + second) - apart
            if change != 0:
                pairs[first + second] = change
    return pairs


def main():
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("font", type=Path, help="TrueType file")
    parser.add_argument("size", type=int, help="size in pixels per em")
    parser.add_argument("output", type=Path, help="path of the atlas without extension")
    options = parser.parse_args()
    if PIL.__version__ != PILLOW_VERSION or not features.check("raqm"):
        parser.error(f"needs Pillow {PILLOW_VERSION} with Raqm, found {PIL.__version__}")

    font = ImageFont.truetype(options.font, options.size, layout_engine=ImageFont.Layout.RAQM)
    bitmaps, glyphs = {}, {}
    x = 0
    for character in CHARACTERS:
        bitmap, place = glyph(font, character)
        if bitmap is not None:
            bitmaps[character] = bitmap
        glyphs[character] = {"x": x, **place}
        x += place["width"]

    atlas = Image.new("L", (x, max(bitmap.height for bitmap in bitmaps.values())))
    for character, bitmap in bitmaps.items():
        atlas.paste(bitmap, (glyphs[character]["x"], 0))
    atlas.save(options.output.with_suffix(".png"), optimize=True)

    description = {
        "font": options.font.name,
        "fontSha256": hashlib.sha256(options.font.read_bytes()).hexdigest(),
        "size": options.size,
        "pillow": PIL.__version__,
        "glyphs": glyphs,
        "kerning": kerning(font, glyphs),
    }
    # One character or pair per line keeps the file readable and its diffs small.
    entries = []
    for key, value in description.items():
        if isinstance(value, dict):
            rows = ",\n".join(f"    {json.dumps(name)}: {json.dumps(row)}" for name, row in value.items())
            entries.append(f'  "{key}": {{\n{rows}\n  }}')
        else:
            entries.append(f'  "{key}": {json.dumps(value)}')
    options.output.with_suffix(".json").write_text("{\n" + ",\n".join(entries) + "\n}\n", encoding="ascii")


if __name__ == "__main__":
    main()
