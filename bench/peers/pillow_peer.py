"""Pillow as a peer of the benchmarks: draws frames of gym_cards in the way of the original environments.

    python bench/peers/pillow_peer.py

The protocol is that of torch_peer.py. One case, "frames", with the settings

  task     number-line, ez-points, points24 or blackjack
  states   what each frame shows, episode after episode from their resets; see the functions below
  frames   how many frames the seconds are to be for: those of `states` are timed and scaled
  atlases  folder of our card atlases
  folder   for the card files that are made of them

The originals' card files are not at hand. Ours, of the same 750 x 1050 pixels with an alpha channel, are enlarged from an atlas
without interpolation: that leaves flat areas, which are faster to decode than drawn art. The rules of the games are left out, and
Gymnasium's wrappers too, so only drawing is timed.
"""

from __future__ import annotations

import base64
import json
import sys
import time
import traceback
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, ImageDraw, ImageFont

FELT = (53, 101, 77)
SUITS, RANKS = "CDHS", "A23456789TJQK"
SOURCE = (135, 189)
ART = (750, 1050)


def make_cards(atlas: Path, folder: Path) -> None:
    """Writes the cards of an atlas as single files with an alpha channel."""
    image = Image.open(atlas / f"cards-{SOURCE[0]}x{SOURCE[1]}.png").convert("RGBA")
    names = [suit + rank for suit in SUITS for rank in RANKS] + ["back"]
    for index, name in enumerate(names):
        file = folder / f"{name}.png"
        if file.exists():
            continue
        top = index * SOURCE[1]
        card = image.crop((0, top, SOURCE[0], top + SOURCE[1]))
        card.resize(ART, Image.Resampling.NEAREST).save(file)


class Frames:
    """Draws the states of one task. Three things decide what a frame costs and follow the originals:

    - EZPoints and Points24 decode and scale the cards of a hand at its reset, and paste them at every frame;
    - Blackjack decodes each card once per process, and scales all that lie on the table, the back too, at every frame;
    - all load their font by name and copy the frame into an array at every frame.
    """

    def __init__(self, settings: dict):
        self.draw_state = {
            "number-line": self.number_line,
            "ez-points": self.ez_points,
            "points24": self.points24,
            "blackjack": self.blackjack,
        }[settings["task"]]
        self.states = settings["states"]
        self.frames = settings["frames"]
        self.folder = Path(settings["folder"])
        self.hand = []
        self.opened = {}
        make_cards(Path(settings["atlases"]), self.folder)

    def check(self) -> dict:
        return {"frame": base64.b64encode([self.draw_state(state) for state in self.states][-1].tobytes()).decode()}

    def run(self) -> dict:
        start = time.perf_counter()
        for state in self.states:
            self.draw_state(state)
        return {"seconds": (time.perf_counter() - start) * self.frames / len(self.states)}

    def open(self, name: str) -> Image.Image:
        return Image.open(self.folder / f"{name}.png")

    def deal(self, state: dict, size: tuple[int, int]) -> None:
        """Makes the images of a hand where it has just been dealt."""
        if state["steps"] == 0:
            self.hand = [self.open(name).resize(size) for name in state["cards"]]

    def number_line(self, state: dict) -> np.ndarray:
        frame = Image.new("RGB", (300, 300), "white")
        draw = ImageDraw.Draw(frame)
        font = ImageFont.truetype("DejaVuSans-Bold.ttf", 36)
        draw.text((30, 60), f"Target: {state['target']}", fill="black", font=font)
        draw.text((30, 180), f"Current: {state['current']}", fill="black", font=font)
        return np.array(frame)

    def ez_points(self, state: dict) -> np.ndarray:
        self.deal(state, (135, 189))
        frame = Image.new("RGB", (300, 300), FELT)
        for i, card in enumerate(self.hand):
            frame.paste(card, (5 + int(i * 135 * 1.1), 55))
        font = ImageFont.truetype("DejaVuSans.ttf", 20)
        ImageDraw.Draw(frame).text((10, 258), f"Formula: {' '.join(state['formula'])}", fill="white", font=font)
        return np.array(frame)

    def points24(self, state: dict) -> np.ndarray:
        self.deal(state, (67, 93))
        frame = Image.new("RGB", (300, 300), FELT)
        for i, card in enumerate(self.hand):
            frame.paste(card, (5 + int(i * 67 * 1.1), 103))
        draw = ImageDraw.Draw(frame)
        font = ImageFont.truetype("DejaVuSans.ttf", 16)
        draw.text((10, 210), "Formula:", fill="white", font=font)
        draw.text((10, 240), " ".join(state["formula"]), fill="white", font=font)
        return np.array(frame)

    def blackjack(self, state: dict) -> np.ndarray:
        frame = Image.new("RGB", (300, 300), FELT)
        draw = ImageDraw.Draw(frame)
        font = ImageFont.truetype("DejaVuSans-Bold.ttf", 16)

        def paste(name: str, left: int, top: int) -> None:
            if name not in self.opened:
                self.opened[name] = self.open(name)
            frame.paste(self.opened[name].resize((70, 98)), (left, top))

        draw.text((5, 5), "Dealer", fill="white", font=font)
        paste(state["dealer"][0], 5, 25)
        paste("back", 78, 25)
        draw.text((5, 130), "Player", fill="white", font=font)
        for i, name in enumerate(state["player"]):
            paste(name, 5 + 74 * (i % 5), 150 if i < 5 else 252)
        # The original converts the array to the type it has, which copies it.
        return np.array(frame).astype(np.uint8)


class Peer:
    def __init__(self):
        self.opened = {}

    def reply(self, request: dict) -> dict:
        operation = request["op"]
        if operation == "hello":
            return {"name": "Pillow", "version": PIL.__version__, "threads": 1}
        if operation == "open":
            if request["case"] != "frames":
                return {"unsupported": f"case: expected frames, received {request['case']!r}"}
            handle = len(self.opened) + 1
            self.opened[handle] = Frames(request["settings"])
            return {"handle": handle}
        case = self.opened[request["handle"]]
        if operation == "check":
            return {"values": case.check()}
        if operation == "run":
            return case.run()
        if operation == "memory":
            return {"peakBytes": None}
        if operation == "close":
            self.opened[request["handle"]] = None
            return {}
        return {"error": f"op: received {operation!r}"}


def main() -> None:
    peer = Peer()
    for line in sys.stdin:
        if not line.strip():
            continue
        try:
            answer = peer.reply(json.loads(line))
        except Exception as failure:
            traceback.print_exc()
            answer = {"error": f"{type(failure).__name__}: {failure}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
