"""Writes tokenizer-vectors.json: texts and their tokens as the Python package encodes them.

    python test/golden/make_tokenizer_vectors.py

Needs: tokenizers==0.23.3. The texts are the GymCards prompts, answers to them, and random Unicode.
"""

import json
import random
import sys
from pathlib import Path

from tokenizers import Tokenizer

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import make_tokenizer  # noqa: E402


def random_text(source: random.Random) -> str:
    """Words of the vocabulary, blanks, punctuation and characters from all planes, surrogates left out."""
    pieces = [
        lambda: source.choice([" number", "target", " the", "carefully", " subtracts", "Numbers"]),
        lambda: source.choice([" ", "  ", "\n", "\t", " \n", "\u0085", "\u00a0", "\u3000", "\ufeff"]),
        lambda: source.choice('"{}[]:,.+-*/=()\\\'') * source.randint(1, 3),
        lambda: str(source.randint(0, 999)),
        lambda: chr(source.randint(0x21, 0x2FF)),
        lambda: chr(source.randint(0x300, 0xD7FF)),
        lambda: chr(source.randint(0xE000, 0xFFFF)),
        lambda: chr(source.randint(0x10000, 0x10FFFF)),
    ]
    return "".join(source.choice(pieces)() for _ in range(source.randint(1, 24)))


def main() -> None:
    tokenizer = Tokenizer.from_file(str(ROOT / "assets" / "tiny-vlm" / "tokenizer.json"))
    source = random.Random(20240516)
    corpus = make_tokenizer.corpus()
    texts = corpus[:8] + source.sample(corpus[8:], 24) + [random_text(source) for _ in range(100)]
    vectors = [{"text": text, "tokens": tokenizer.encode(text).ids} for text in texts]
    lines = ",\n".join(json.dumps(vector) for vector in vectors)
    (HERE / "tokenizer-vectors.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
