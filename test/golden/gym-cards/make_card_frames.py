"""Draws golden frames of the card games with Pillow itself, independently of our renderer, from the card atlases that ship.

Needs Pillow 13.0.0 with Raqm and the fonts of the npm package dejavu-fonts-ttf 2.37.3:

  npm pack dejavu-fonts-ttf@2.37.3 && tar xzf dejavu-fonts-ttf-2.37.3.tgz
  python test/golden/gym-cards/make_card_frames.py package/ttf
"""

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

OUTPUT = Path(__file__).parent
ASSETS = OUTPUT.parents[2] / "assets" / "gym-cards"
FONTS = Path(sys.argv[1])
# The order of the cards in an atlas, one below the other.
CARDS = [suit + rank for suit in "CDHS" for rank in "A23456789TJQK"] + ["back"]


def font(name, size):
    return ImageFont.truetype(FONTS / f"{name}.ttf", size, layout_engine=ImageFont.Layout.RAQM)


def frame_of(name, cards, size, texts, text_font):
    """`cards` are (name, x, y), `texts` (text, x, y)."""
    frame = Image.new("RGB", (300, 300), "#35654d")
    width, height = size
    atlas = Image.open(ASSETS / f"cards-{width}x{height}.png").convert("RGB")
    for card, x, y in cards:
        top = height * CARDS.index(card)
        frame.paste(atlas.crop((0, top, width, top + height)), (x, y))
    draw = ImageDraw.Draw(frame)
    for text, x, y in texts:
        draw.text((x, y), text, fill="white", font=text_font)
    frame.save(OUTPUT / f"{name}.png", optimize=True)


def ez_points(name, cards, formula):
    placed = [(card, x, 55) for card, x in zip(cards, (5, 153), strict=True)]
    frame_of(name, placed, (135, 189), [(f"Formula: {' '.join(formula)}", 10, 258.0)], font("DejaVuSans", 20))


def points24(name, cards, formula):
    placed = [(card, x, 103) for card, x in zip(cards, (5, 78, 152, 226), strict=True)]
    texts = [("Formula:", 10, 210.0), (" ".join(formula), 10, 240.0)]
    frame_of(name, placed, (67, 93), texts, font("DejaVuSans", 16))


def blackjack(name, dealer, player):
    placed = [(dealer, 5, 25), ("back", 78, 25), *player]
    frame_of(name, placed, (70, 98), [("Dealer", 5, 5), ("Player", 5, 130)], font("DejaVuSans-Bold", 16))


ez_points("ez-points", ["HQ", "S2"], ["10", " ", "+", "2"])
# Runs off the right edge.
points24("points24", ["CT", "D7", "HA", "SK"], [*"(7-1)*(", "10", "/", "10", *")+++---***("])
blackjack("blackjack", "HA", [("C9", 5, 150), ("SJ", 79, 150)])
many = ["C2", "D2", "H2", "S2", "CA", "DA"]
# The original's way: the fifth card is outside the frame, the sixth begins a second row that the frame cuts.
shown = [(card, 5 + 74 * i, 150) for i, card in enumerate(many[:4])]
blackjack("blackjack-hidden-fifth", "D8", [*shown, (many[5], 5, 252)])
# Ours: 220 pixels for the left edges of all.
blackjack("blackjack-six-cards", "D8", [(card, 5 + 44 * i, 150) for i, card in enumerate(many)])
