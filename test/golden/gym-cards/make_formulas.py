"""Writes formulas.json: formulas of the card games and what Python's own eval makes of them.

Random tokens with a fixed seed, odd ones included: signs, powers, floor divisions, numbers side by side, spaces, parentheses that
do not match. Each line is the tokens and the value, or null for an exception or what is no number. Any Python from 3.8 on gives the
same file:

  python test/golden/gym-cards/make_formulas.py
"""

import json
import random
import warnings
from pathlib import Path

OUTPUT = Path(__file__).parent / "formulas.json"
COUNT = 500
# Integers up to here are numbers of JSON.
LARGEST = 2**53
MAX_TOKENS = 13
# Beyond this Python takes too long, and ours counts the formula as wrong.
MAX_POWERS = 1
# Numbers and operators in turn give expressions often; now and then anything else is put between them.
NUMBERS = [str(number) for number in range(1, 11)]
OPERATORS = [*"+-*/", "**", "//"]
ODD = [*"+-*/() ", *NUMBERS]


def operand(depth):
    text = [random.choice(NUMBERS)]
    if depth < 2 and random.random() < 0.3:
        text = ["(", *expression(depth + 1), ")"]
    if random.random() < 0.15:
        text.insert(0, random.choice("+-"))
    return text


def expression(depth=0):
    tokens = operand(depth)
    for _ in range(random.randint(0 if depth == 0 else 1, 3)):
        # Two tokens of one symbol, as the games' actions write them.
        tokens += [*random.choice(OPERATORS), *operand(depth)]
    if random.random() < 0.25:
        tokens.insert(random.randint(0, len(tokens)), random.choice(ODD))
    return tokens


def value(tokens):
    try:
        result = eval("".join(tokens))  # The very semantics that the file records.
    except Exception:
        return None
    return result if isinstance(result, (int, float)) else None


def main():
    random.seed(1)
    # Python warns of calls such as "2(3)" before it raises.
    warnings.simplefilter("ignore")
    rows = {}
    while len(rows) < COUNT:
        tokens = expression()
        text = "".join(tokens)
        if len(tokens) <= MAX_TOKENS and text.count("**") <= MAX_POWERS:
            result = value(tokens)
            if result is None or abs(result) <= LARGEST:
                rows[tuple(tokens)] = result
    lines = [json.dumps([*row], separators=(",", ":")) for row in rows.items()]
    OUTPUT.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="ascii")


main()
