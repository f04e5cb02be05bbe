"""Draws the golden frames of this folder with Pillow itself, independently of our renderer.

Needs Pillow 13.0.0 with Raqm and the fonts of the npm package dejavu-fonts-ttf 2.37.3:

  npm pack dejavu-fonts-ttf@2.37.3 && tar xzf dejavu-fonts-ttf-2.37.3.tgz
  python test/golden/gym-cards/make_frames.py package/ttf
"""

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

OUTPUT = Path(__file__).parent
FONTS = Path(sys.argv[1])


def bold_36():
    return ImageFont.truetype(FONTS / "DejaVuSans-Bold.ttf", 36, layout_engine=ImageFont.Layout.RAQM)


def number_line(current, target):
    frame = Image.new("RGB", (300, 300), "white")
    draw = ImageDraw.Draw(frame)
    draw.text((30, 60), f"Target: {target}", fill="black", font=bold_36())
    draw.text((30, 180), f"Current: {current}", fill="black", font=bold_36())
    frame.save(OUTPUT / f"number-line-current{current}-target{target}.png", optimize=True)


def text_sample():
    """All printable ASCII, kerning pairs, glyphs that overlap or reach left of the pen, clipped edges."""
    frame = Image.new("RGB", (760, 290), "#35654d")
    draw = ImageDraw.Draw(frame)
    lines = [
        "!\"#$%&'()*+,-./0123456789:;<=>?",
        "@ABCDEFGHIJKLMNOPQRSTUVWX",
        "YZ[\\]^_`abcdefghijklmnopqrstuvwxyz",
        "{|}~ AVAToLT'Ty.W,P.j_jWAVE 11-7",
    ]
    for row, line in enumerate(lines):
        draw.text((4, 60 * row), line, fill="white", font=bold_36())
    draw.text((-20, 260), "clipped", fill="white", font=bold_36())
    draw.text((690, -12), "WWW", fill="white", font=bold_36())
    frame.save(OUTPUT / "text-dejavu-sans-bold-36.png", optimize=True)


number_line(0, 1)
number_line(2, 4)
number_line(5, 0)
text_sample()
