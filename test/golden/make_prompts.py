"""Writes prompts/: a folder for each family of what describes a tiny model, as Hugging Face Transformers saves it, and prompts.json:
prompts and answers as its processors encode them, and token sequences as its tokenizers decode them.

    python test/golden/make_prompts.py

Needs: transformers==5.23.0, tokenizers==0.23.3, pillow==13.0.0, torch==2.13.0. The vocabularies are trained on the prompts of
GymCards; the chat templates are written for this and render what the published ones render.
"""

import json
import random
import shutil
import sys
from pathlib import Path

from PIL import Image
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    Idefics3Processor,
    LlamaConfig,
    LlavaConfig,
    LlavaNextConfig,
    LlavaNextProcessor,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLProcessor,
    SmolVLMConfig,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

HERE = Path(__file__).resolve().parent
FOLDER = HERE / "prompts"
sys.path.insert(0, str(HERE.parent.parent / "scripts"))
import make_tokenizer  # noqa: E402

PIECES = 160
FRAMES = [(30, 30), (45, 20), (20, 64), (64, 48)]
TEXTS = [
    "What is in the image?",
    '{"action": "stand"}',
    '{\n"thoughts": "I hit",\n"action": "hit"\n}',
    "naïve 🙂 日本 12345",
    "  two  spaces",
    "\nline",
    make_tokenizer.corpus()[0],
]
ANSWERS = ['{\n"thoughts": "I hit",\n"action": "hit"\n}', "Numbers, 日本", " blank", ""]


def lines() -> list[str]:
    return [line for text in make_tokenizer.corpus() for line in text.split("\n")]


def sentence_piece(is_legacy: bool) -> Tokenizer:
    """As Llama's: every segment between special tokens gets a space before it, or the first alone."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trained.train_from_iterator(lines(), trainers.BpeTrainer(vocab_size=PIECES, show_progress=False))
    model = json.loads(trained.to_str())["model"]
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2}
    for byte in range(256):
        vocabulary[f"<0x{byte:02X}>"] = len(vocabulary)
    for piece in model["vocab"]:
        vocabulary[piece] = len(vocabulary)
    tokenizer = Tokenizer(
        models.BPE(
            vocab=vocabulary,
            merges=[tuple(merge) for merge in model["merges"]],
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    if is_legacy:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    return tokenizer


def byte_level(splits: list, normalizer=None) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(splits)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=256 + PIECES, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(make_tokenizer.corpus(), trainer)
    return tokenizer


QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def qwen() -> Tokenizer:
    split = pre_tokenizers.Split(Regex(QWEN_SPLIT), behavior="isolated")
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer = byte_level([split, bytes_only], normalizers.NFC())
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer.add_special_tokens(tokens + [f"<|{name}|>" for name in ("vision_start", "vision_end", "image_pad", "video_pad")])
    tokenizer.add_tokens([AddedToken("<tool_call>", special=False, normalized=False)])
    return tokenizer


def smol() -> Tokenizer:
    bytes_and_words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer = byte_level([pre_tokenizers.Digits(individual_digits=True), bytes_and_words])
    places = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<global-img>", *places]
    tokenizer.add_special_tokens(tokens + ["<fake_token_around_image>", "<image>", "<end_of_utterance>"])
    return tokenizer


def fast(tokenizer: Tokenizer, **special) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **special)


LLAVA_TEMPLATE = (
    "{% for message in messages %}{% if message.role == 'user' %}USER: "
    "{% for part in message.content if part.type == 'image' %}<image>\n{% endfor %}"
    "{% for part in message.content if part.type == 'text' %}{{ part.text }}{% endfor %} "
    "{% else %}ASSISTANT: {% for part in message.content %}{{ part.text }}{% endfor %} {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
LLAVA_NEXT_TEMPLATE = (
    "{% for message in messages %}{% if message.role == 'user' %}[INST] "
    "{% for part in message.content if part.type == 'image' %}<image>\n{% endfor %}"
    "{% for part in message.content if part.type == 'text' %}{{ part.text }}{% endfor %} [/INST]"
    "{% else %} {% for part in message.content %}{{ part.text }}{% endfor %}</s> {% endif %}{% endfor %}"
)
SMOLVLM_TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{ message.role | capitalize }}"
    "{% if message.content[0].type == 'image' %}:{% else %}: {% endif %}"
    "{% for part in message.content %}{% if part.type == 'image' %}<image>{% else %}{{ part.text }}{% endif %}{% endfor %}"
    "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)
QWEN_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and message.role != 'system' %}<|im_start|>system\n"
    "You are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ message.role }}\n"
    "{% for part in message.content %}{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}[INST] {{ message.content }} [/INST]"
    "{% else %} {{ message.content }} {{ eos_token }}{% endif %}{% endfor %}"
)

CLIP = dict(
    model_type="clip_vision_model",
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=3,
    num_attention_heads=4,
    image_size=32,
    patch_size=8,
)
TEXT = dict(
    hidden_size=48,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=2048,
    rms_norm_eps=1e-5,
    # Padded, as published ones are.
    vocab_size=512,
)


def llava() -> tuple:
    tokenizer = sentence_piece(is_legacy=True)
    tokenizer.add_special_tokens(["<image>", "<pad>"])
    image_processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    processor = LlavaProcessor(
        image_processor=image_processor,
        tokenizer=fast(tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>"),
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=LLAVA_TEMPLATE,
    )
    text = dict(TEXT, model_type="llama", rope_theta=10000.0)
    config = LlavaConfig(vision_config=CLIP, text_config=text, image_token_index=tokenizer.token_to_id("<image>"))
    return config, processor


def llava_next() -> tuple:
    tokenizer = sentence_piece(is_legacy=False)
    tokenizer.add_special_tokens(["<image>", "<pad>"])
    pinpoints = [[32, 64], [64, 32], [64, 64], [96, 32]]
    image_processor = LlavaNextImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, image_grid_pinpoints=pinpoints
    )
    processor = LlavaNextProcessor(
        image_processor=image_processor,
        tokenizer=fast(tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>"),
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=LLAVA_NEXT_TEMPLATE,
    )
    text = dict(TEXT, model_type="mistral", rope_theta=1e6, sliding_window=None)
    config = LlavaNextConfig(
        vision_config=CLIP,
        text_config=text,
        image_token_index=tokenizer.token_to_id("<image>"),
        image_grid_pinpoints=pinpoints,
    )
    return config, processor


def smolvlm() -> tuple:
    tokenizer = smol()
    # The one of SmolVLM writes the same for images, and needs more packages, for videos.
    processor = Idefics3Processor(
        image_processor=Idefics3ImageProcessorPil(size={"longest_edge": 64}, max_image_size={"longest_edge": 32}),
        tokenizer=fast(tokenizer, bos_token="<|im_start|>", eos_token="<end_of_utterance>", pad_token="<|im_end|>"),
        image_seq_len=4,
        chat_template=SMOLVLM_TEMPLATE,
    )
    end = tokenizer.token_to_id("<end_of_utterance>")
    config = SmolVLMConfig(
        vision_config=dict(
            hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=3, image_size=32, patch_size=8
        ),
        text_config=dict(TEXT, model_type="llama", rope_theta=1e5, eos_token_id=end),
        image_token_id=tokenizer.token_to_id("<image>"),
        scale_factor=2,
    )
    return config, processor


class Qwen2_5_VLImagesOnly(Qwen2_5_VLProcessor):
    """Without videos, which need more packages; saved in the files that releases of Transformers before 5 write."""

    def check_argument_for_proper_class(self, name: str, argument: object) -> None:
        if argument is not None:
            super().check_argument_for_proper_class(name, argument)

    def save_pretrained(self, folder: Path) -> None:
        self.tokenizer.save_pretrained(folder)
        self.image_processor.save_pretrained(folder)
        (folder / "chat_template.json").write_text(json.dumps({"chat_template": self.chat_template}) + "\n")


def qwen2_5_vl() -> tuple:
    tokenizer = qwen()
    image_processor = Qwen2VLImageProcessorPil(size={"shortest_edge": 56 * 56, "longest_edge": 28 * 28 * 16})
    processor = Qwen2_5_VLImagesOnly(
        image_processor=image_processor,
        tokenizer=fast(tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>"),
        chat_template=QWEN_TEMPLATE,
    )
    text = dict(
        TEXT,
        rope_parameters=dict(rope_type="default", rope_theta=1e6, mrope_section=[2, 2, 2]),
        eos_token_id=tokenizer.token_to_id("<|im_end|>"),
    )
    config = Qwen2_5_VLConfig(
        vision_config=dict(
            depth=3,
            hidden_size=32,
            intermediate_size=40,
            num_heads=2,
            window_size=56,
            fullatt_block_indexes=[1],
            out_hidden_size=48,
        ),
        text_config=text,
        image_token_id=tokenizer.token_to_id("<|image_pad|>"),
    )
    return config, processor


def llama() -> tuple:
    special = dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    tokenizer = fast(sentence_piece(is_legacy=True), **special)
    tokenizer.chat_template = LLAMA_TEMPLATE
    return LlamaConfig(**TEXT, rope_theta=10000.0), tokenizer


def conversation(text: str, answer: str | None, sees_images: bool) -> list[dict]:
    def part(content: str):
        return [{"type": "text", "text": content}] if sees_images else content

    image = [{"type": "image"}] if sees_images else []
    user = [*image, *part(text)] if sees_images else text
    messages = [{"role": "user", "content": user}]
    return messages if answer is None else [*messages, {"role": "assistant", "content": part(answer)}]


def vectors(processor) -> dict:
    sees_images = hasattr(processor, "image_processor")
    tokenizer = processor.tokenizer if sees_images else processor

    def encode(text: str, answer: str | None, frame: tuple[int, int]) -> list[int]:
        rendered = processor.apply_chat_template(
            conversation(text, answer, sees_images), add_generation_prompt=answer is None, tokenize=False
        )
        if sees_images:
            return processor(text=[rendered], images=[Image.new("RGB", frame)])["input_ids"][0]
        begins = tokenizer.bos_token is not None and rendered.startswith(tokenizer.bos_token)
        return tokenizer(rendered, add_special_tokens=not begins)["input_ids"]

    prompts = [
        {"frame": frame, "text": text, "tokens": encode(text, None, frame)}
        for frame in FRAMES
        for text in (TEXTS if frame == FRAMES[0] else TEXTS[:1])
    ]
    answers = [
        {"text": text, "tokens": encode(TEXTS[0], text, FRAMES[0])[len(prompts[0]["tokens"]) :]}
        for text in ANSWERS
        if encode(TEXTS[0], text, FRAMES[0])[: len(prompts[0]["tokens"])] == prompts[0]["tokens"]
    ]
    # What decoding a prompt and a response gives beyond decoding the prompt. Characters that are bytes alone come whole.
    source = random.Random(7)
    decode = lambda tokens: tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    prompt = prompts[0]["tokens"]
    decoded = []
    while len(decoded) < 24:
        tokens = [source.randrange(len(tokenizer)) for _ in range(source.randint(1, 12))]
        if len(decoded) < 8:
            tokens = tokenizer(source.choice(TEXTS)[source.randint(0, 3) :], add_special_tokens=False)["input_ids"]
        before, whole = decode(prompt), decode(prompt + tokens)
        if not whole.startswith(before) or "\ufffd" in whole:
            continue
        decoded.append({"tokens": tokens, "text": whole[len(before) :]})
    return {"prompts": prompts, "answers": answers, "decoded": decoded}


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    written = {}
    for make in (llava, llava_next, smolvlm, qwen2_5_vl, llama):
        name = make.__name__.replace("_", "-")
        config, processor = make()
        config.save_pretrained(FOLDER / name)
        processor.save_pretrained(FOLDER / name)
        written[name] = vectors(processor)
    (HERE / "prompts.json").write_text(json.dumps(written, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
