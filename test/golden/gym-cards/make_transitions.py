"""Writes transitions.json: a sample of episodes of the original gym_cards environments, in a format of our own.

Takes the recorded episodes of the original (RL4VLM at b989b57, Python 3, gymnasium 1.3) from a file that is too large to ship:
all scripted odd formulas, and of each task every n-th episode.

  python test/golden/gym-cards/make_transitions.py traces.json.gz

One episode is one line. `actions` and `rewards` go step by step; `end` says how the last step ended it. Formula games: `cards`,
and `formula`, the tokens at the end; one step appends one token, and the step that ends the episode none. Blackjack: `deck`, the
cards in the order drawn, and how many of them the player and the dealer held at the end. NumberLine: `current` after each step.
"""

import gzip
import json
import sys
from pathlib import Path

OUTPUT = Path(__file__).parent / "transitions.json"
EPISODES = 80
ENDS = {(True, False): "terminated", (False, True): "truncated", (False, False): "running"}


def sample(episodes):
    return episodes[:: len(episodes) // EPISODES][:EPISODES]


def outcome(steps):
    last = steps[-1]
    assert all(not (step["terminated"] or step["truncated"]) for step in steps[:-1])
    return {
        "actions": [step["action"] for step in steps],
        "rewards": [int(step["reward"]) for step in steps],
        "end": ENDS[last["terminated"], last["truncated"]],
    }


def formula_game(episode):
    steps = episode["steps"]
    # Scripted episodes name values only.
    cards = episode.get("cards") or ["C" + "A23456789T"[number - 1] for number in episode["numbers"]]
    formula = [str(token) for token in steps[-1]["formula"]]
    for index, step in enumerate(steps):
        assert [str(token) for token in step["formula"]] == formula[: index + 1]
    return {"cards": cards, **outcome(steps), "formula": formula}


def blackjack(episode):
    last = episode["steps"][-1]
    deck = [suit + ("A" if value == 1 else face) for value, face, suit in episode["drawn"]]
    held = {"player": len(last["player"]), "dealer": len(last["dealer"])}
    return {"deck": deck, **outcome(episode["steps"]), **held}


def number_line(episode):
    steps = episode["steps"]
    current = [step["info"]["Current"] for step in steps]
    return {"start": episode["start"], "target": episode["goal"], **outcome(steps), "current": current}


def main():
    traces = json.loads(gzip.decompress(Path(sys.argv[1]).read_bytes()))
    tasks = {
        "ez-points": map(formula_game, traces["ez_points_scripted"] + sample(traces["ez_points"])),
        "points24": map(formula_game, traces["points24_scripted"] + sample(traces["points24"])),
        "blackjack": map(blackjack, sample(traces["blackjack"])),
        "number-line": map(number_line, sample(traces["number_line"])),
    }
    lists = []
    for task, episodes in tasks.items():
        rows = ",\n".join(json.dumps(episode, separators=(",", ":")) for episode in episodes)
        lists.append(f'"{task}": [\n{rows}\n]')
    OUTPUT.write_text("{\n" + ",\n".join(lists) + "\n}\n", encoding="ascii")


main()
