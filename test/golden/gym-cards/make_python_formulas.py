"""Writes python-formulas.json: what Python's eval makes of formulas as models write them, well-formed and odd.

    python3 test/golden/gym-cards/make_python_formulas.py

Made by Python 3.11. Powers that Python would take hours for are left out: bases and exponents are small or the result is.
"""

import json
import random
import warnings
from pathlib import Path

warnings.simplefilter("ignore")  # SyntaxWarning for "2(3)".
generator = random.Random(24)
NUMBERS = [str(i) for i in range(1, 11)]
OPERATORS = ["+", "-", "*", "/", "*", "/", "**", "//"]


def well_formed(numbers):
    if len(numbers) == 1:
        sign = generator.choice(["", "", "", "", "-", "+"])
        return [sign, *numbers] if sign else numbers
    cut = generator.randrange(1, len(numbers))
    operator = list(generator.choice(OPERATORS))
    tokens = well_formed(numbers[:cut]) + operator + well_formed(numbers[cut:])
    return ["(", *tokens, ")"] if generator.random() < 0.5 else tokens


def formula():
    """Tokens, of which the environments allow at most four numbers."""
    tokens = well_formed([generator.choice(NUMBERS) for _ in range(generator.randrange(1, 5))])
    for _ in range(generator.choice([0, 0, 1, 1, 2])):
        kind = generator.random()
        place = generator.randrange(len(tokens) + 1)
        if kind < 0.4:
            tokens.insert(place, " ")
        elif kind < 0.7 and place < len(tokens):
            del tokens[place]
        else:
            tokens.insert(place, generator.choice(["(", ")", "+", "-", "*", "/"]))
    return tokens


def evaluate(tokens):
    """The integer that the value equals; None where it equals none, or there is no value."""
    try:
        value = eval("".join(tokens))
    except Exception:
        return None
    if not isinstance(value, (int, float)) or value != value or abs(value) > 2**53 or value != int(value):
        return None
    return int(value)


def is_bounded(tokens):
    """No power whose exponent may be large: at most one, of plain numbers of up to two digits."""
    text = "".join(tokens)
    return text.count("**") <= 1 and (
        "**" not in text or all(len(part) <= 2 for part in text.replace("**", " ").split() if part.isdigit())
    ) and not any(part.isdigit() and int(part) > 200 for part in text.split("**")[1:])


cases, seen = [], set()
counts = {True: 0, False: 0}
while min(counts.values()) < 300:
    tokens = formula()
    if len(tokens) == 0 or "".join(tokens) in seen or not is_bounded(tokens):
        continue
    seen.add("".join(tokens))
    value = evaluate(tokens)
    # As many that give an integer as that do not; small ones, which a target could be.
    if value is not None and abs(value) > 10**6 or counts[value is not None] >= 300:
        continue
    counts[value is not None] += 1
    cases.append([tokens, value])

lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
Path(__file__).with_name("python-formulas.json").write_text(f"[\n{lines}\n]\n")
