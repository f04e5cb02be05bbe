"""Builds the tokenizer of the tiny model: assets/tiny-vlm/tokenizer.json and tokenizer_config.json.

    python scripts/make_tokenizer.py

Needs: tokenizers==0.23.3. The output is a pure function of this file.

A byte-level BPE of exactly 512 entries, in this order:
  4    special tokens
  256  the bytes, so that any UTF-8 text can be encoded
  n    every word and every run of punctuation in the four GymCards prompts (rl4vlm, Zhai et al. 2024) and in
       answers to them
  rest merges trained on the same texts, for words that are in none of them
`ignore_merges` looks a piece up whole before it is merged (as Llama 3 does), so a word costs one entry
instead of one per merge on the way to it: otherwise the words would not fit into 512.
"""

import json
from itertools import product
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

VOCABULARY_SIZE = 512
SPECIAL_TOKENS = ["<pad>", "<bos>", "<eos>", "<image>"]

# Pieces, in order of preference: a word with the space before it; one digit or arithmetic sign; a run of
# other punctuation with the blanks after it, unless they belong to a word; blanks. So every digit and sign is
# a token of its own wherever it stands, punctuation never joins a letter, and the quote that opens a JSON key
# never joins what precedes it. The classes are spelt out, because \w and \s differ between regex engines.
PIECE = (
    r" ?[A-Za-z]+"
    r"|[0-9+\-*/=]"
    r"|[^A-Za-z0-9+\-*/= \t\r\n]+(?:[ \t\r\n]+(?![A-Za-z]))?"
    r"|[ \t\r\n]+(?![A-Za-z])"
    r"|[ \t\r\n]"
)

# The short form of llava_v1: the image, then the text of the user; the answer follows the colon at once.
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ 'USER: ' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ASSISTANT:' }}"
    "{% else %}{{ raise_exception('expected the role user or assistant but received ' + message['role']) }}"
    "{% endif %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>\\n' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ ' ASSISTANT:' }}{% endif %}"
)

JSON_REQUEST = "Your response should be a valid json file in the following format: "

NUMBER_LINE_PROMPT = (
    "You are playing a game called number line. You will see a target number and a current number in the "
    "image. And your goal is to move the current number closer to the target by choosing either adding or "
    "subtracting one to the current number. " + JSON_REQUEST
    + '\n{\n "current number": "x", \n"target number": "x", \n'
    '"thoughts": "{first read out the current and target number, then think carefully about which action to '
    'choose}", \n"action": "-" or "+" \n}'
)

BLACKJACK_PROMPT = (
    "You are a blackjack player. You are observing the current game state, you can choose between "
    "['stand', 'hit']. " + JSON_REQUEST + '\n{\n "thoughts": "{first describe your total points and the '
    "dealer's total points then think about which action to choose}\", \n\"action\": \"stand\" or \"hit\" \n}"
)


def points_prompt(player: str, cards: str, actions: list[str], names: str, total: int, check: str) -> str:
    choices = ", ".join(f"'{action}'" for action in actions)
    return (
        f"You are an expert {player}. You are observing {cards} cards in the image. You are observing the "
        f"current formula: . You can choose between [{choices}]. The number or operator you choose will be "
        "appended to the current formula. Note that 'J', 'Q', and 'K' count as '10'. Your goal is to output "
        f"a formula that evaluates to {total}, and each number can only be used once. " + JSON_REQUEST
        + f'\\{{\n "cards": [{names}], \n"current formula": , \n"thoughts": {{{check}, output \'=\'. '
        "Otherwise consider which number or operator should be appended to the current formula to make it "
        f'equal {total}.}} \n"action": "{{number}}" or "{{operator}}" \n \\}}'
    )


NUMBERS = [str(number) for number in range(1, 11)]

# The typo "thee" is the reference implementation's own.
EZ_POINTS_PROMPT = points_prompt(
    "card game player", "two", [*NUMBERS, *"+*="], "x, y", 12,
    "First check whether the current formula 'z' is complete. If the current formula 'z' is complete",
)
POINTS24_PROMPT = points_prompt(
    "24 points card game player", "thee four", [*NUMBERS, *"+-*/()="], "x, y, z, w", 24,
    "First check whether the current formula equals 24. If the current formula equals 24",
)


def number_line_answers() -> list[str]:
    """Every state with either decision, in the wording of the paper (appendix D); likewise below."""
    decisions = [("smaller", "increase", "+"), ("larger", "decrease", "-")]
    return [
        f'{{\n "current number": "{current}", \n"target number": "{target}", \n"thoughts": "The current '
        f"number is {current}, which is {comparison} than the target number is {target}. To move the current "
        f"number closer to the target, I should {change} the current number by choosing {sign}.\", "
        f'\n"action": "{sign}" \n}}'
        for current, target, (comparison, change, sign) in product(range(6), range(6), decisions)
    ]


def blackjack_answers() -> list[str]:
    return [
        f'{{\n "thoughts": "I have {player} points and the dealer has {dealer} points. I think I should '
        f'{action}.", \n"action": "{action}" \n}}'
        for player, dealer, action in product(range(4, 22), range(1, 11), ["hit", "stand"])
    ]


def points_answers() -> list[str]:
    incomplete = [
        f'{{\n "cards": [{left}, {right}], \n"current formula": \'{left}\', \n"thoughts": "\'{left}\' is an '
        f"incomplete formula, since '{left}{sign}{right}=12', I should append '{sign}' to the current "
        f'formula", \n"action": "{sign}" \n}}'
        for left, right, sign in product(range(1, 11), range(1, 11), "+-*/")
    ]
    complete = [
        f'{{\n "cards": [{left}, {right}], \n"current formula": \'{left}+{right}\', \n"thoughts": "'
        f"'{left}+{right}' is a complete formula, since '{left}+{right}={left + right}', I should output "
        '\'=\'", \n"action": "=" \n}'
        for left, right in product(range(1, 11), range(1, 11))
    ]
    return incomplete + complete


def corpus() -> list[str]:
    prompts = [NUMBER_LINE_PROMPT, BLACKJACK_PROMPT, EZ_POINTS_PROMPT, POINTS24_PROMPT]
    turns = [text for prompt in prompts for text in ("USER: ", f"\n{prompt} ASSISTANT:")]
    return turns + number_line_answers() + blackjack_answers() + points_answers()


def pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECE), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def train_merges(texts: list[str], count: int) -> list[tuple[str, str]]:
    """The first `count` merges that byte-pair encoding learns from the texts."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizer()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    learner.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=len(alphabet) + count, initial_alphabet=alphabet, min_frequency=2, show_progress=False
        ),
    )
    merges = json.loads(learner.to_str())["model"]["merges"]
    assert len(merges) == count, f"the texts yield only {len(merges)} merges, {count} are needed"
    return [(left, right) for left, right in merges]


def build() -> Tokenizer:
    texts = corpus()
    split = pre_tokenizer()
    pieces = (piece for text in texts for piece, _ in split.pre_tokenize_str(text))
    words = dict.fromkeys(piece for piece in pieces if len(piece) > 1)
    entries = [*SPECIAL_TOKENS, *sorted(pre_tokenizers.ByteLevel.alphabet()), *words]
    assert len(entries) < VOCABULARY_SIZE, f"{len(entries)} entries before any merge"

    vocabulary = {entry: index for index, entry in enumerate(entries)}
    merges: list[tuple[str, str]] = []
    # Merges are ordered as they were learned, so each needs only those before it. Twice as many as there is
    # room for, because many of them build a word that has an entry already.
    for left, right in train_merges(texts, 2 * (VOCABULARY_SIZE - len(entries))):
        if len(vocabulary) == VOCABULARY_SIZE and left + right not in vocabulary:
            break
        vocabulary.setdefault(left + right, len(vocabulary))
        merges.append((left, right))
    assert len(vocabulary) == VOCABULARY_SIZE, f"{len(vocabulary)} entries, expected {VOCABULARY_SIZE}"

    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizer()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL_TOKENS])
    return tokenizer


def main() -> None:
    folder = Path(__file__).resolve().parent.parent / "assets" / "tiny-vlm"
    tokenizer = build()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": "<pad>",
        "bos_token": "<bos>",
        "eos_token": "<eos>",
        "additional_special_tokens": ["<image>"],
        "clean_up_tokenization_spaces": False,
        "model_max_length": 512,
        "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    main()
