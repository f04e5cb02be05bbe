"""The tiny models that make_models.py writes: one of each family, with what its processor is asked and where its adapter goes."""

from dataclasses import dataclass, field

import torch
from make_prompts import (
    CLIP,
    LLAMA_TEMPLATE,
    LLAVA_NEXT_TEMPLATE,
    LLAVA_TEMPLATE,
    QWEN_TEMPLATE,
    SMOLVLM_TEMPLATE,
    Qwen2_5_VLImagesOnly,
    fast,
    qwen,
    sentence_piece,
    smol,
)
from transformers import (
    Idefics3Processor,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextProcessor,
    LlavaProcessor,
    MistralConfig,
    MistralForCausalLM,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Config,
    Qwen2ForCausalLM,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil


@dataclass
class Case:
    """A prompt: its text, its frames as (width, height), and how images are made otherwise than the folder says."""

    text: str
    frames: list[tuple[int, int]] = field(default_factory=list)
    # As src/models/image-settings.ts names them, and as the processor does.
    settings: dict = field(default_factory=dict)
    processor_settings: dict = field(default_factory=dict)


@dataclass
class Family:
    model: torch.nn.Module
    # Or a tokenizer, for a model of text alone.
    processor: object
    cases: list[Case]
    # Modules of the adapter.
    targets: str
    dtype: torch.dtype
    shard_size: str = "50GB"


def text_of(hidden: int, heads: int, kv_heads: int, inter: int, tokenizer, **more) -> dict:
    return dict(
        hidden_size=hidden,
        intermediate_size=inter,
        num_hidden_layers=2,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=more.pop("head_dim", hidden // heads),
        max_position_embeddings=512,
        rms_norm_eps=1e-3,
        # Padded, as published ones are.
        vocab_size=tokenizer.get_vocab_size() + 3,
        tie_word_embeddings=more.pop("tie_word_embeddings", False),
        **more,
    )


DECODER = r"layers\.\d+\.(self_attn\.(q_proj|v_proj|o_proj)|mlp\.(gate_proj|down_proj))"
CLIP_TARGETS = r"vision_tower.*layers\.[01]\.(self_attn\.(k_proj|out_proj)|mlp\.fc1)|multi_modal_projector\.linear_[12]"
SHORT = "Hi 7?"
LONG = '{\n"action": "naïve 🙂"\n}'


def llava() -> Family:
    tokenizer = sentence_piece(is_legacy=True)
    tokenizer.add_special_tokens(["<image>", "<pad>"])
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        tokenizer=fast(tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>"),
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=LLAVA_TEMPLATE,
    )
    text = text_of(48, 6, 6, 80, tokenizer, model_type="llama", rope_parameters=dict(rope_type="default", rope_theta=100.0))
    config = LlavaConfig(vision_config=CLIP, text_config=text, image_token_index=tokenizer.token_to_id("<image>"))
    return Family(
        model=LlavaForConditionalGeneration(config),
        processor=processor,
        cases=[Case(LONG, [(30, 30)]), Case(SHORT, [(45, 33)]), Case(SHORT, [(32, 32), (20, 50)])],
        targets=rf".*({CLIP_TARGETS}|language_model.*{DECODER})",
        dtype=torch.float16,
    )


def any_resolution(decoder: str, layer: int, pinpoints: list[list[int]], is_legacy: bool, template: str, text: dict) -> tuple:
    tokenizer = sentence_piece(is_legacy=is_legacy)
    tokenizer.add_special_tokens(["<image>", "<pad>"])
    processor = LlavaNextProcessor(
        image_processor=LlavaNextImageProcessorPil(
            size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, image_grid_pinpoints=pinpoints
        ),
        tokenizer=fast(tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>"),
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    )
    config = LlavaNextConfig(
        vision_config=dict(CLIP, hidden_size=24, intermediate_size=40, num_attention_heads=3, num_hidden_layers=4),
        text_config=text_of(**text, tokenizer=tokenizer, model_type=decoder),
        image_token_index=tokenizer.token_to_id("<image>"),
        image_grid_pinpoints=pinpoints,
        vision_feature_layer=layer,
    )
    return LlavaNextForConditionalGeneration(config), processor


def llava_next() -> Family:
    rope = dict(rope_type="default", rope_theta=1000.0)
    text = dict(hidden=64, heads=4, kv_heads=2, inter=72, rope_parameters=rope, sliding_window=None)
    pinpoints = [[32, 64], [64, 32], [64, 64]]
    model, processor = any_resolution("mistral", -2, pinpoints, False, LLAVA_NEXT_TEMPLATE, text)
    return Family(
        model=model,
        processor=processor,
        cases=[
            Case(LONG, [(30, 30)]),
            Case(SHORT, [(45, 20)]),
            Case(SHORT, [(20, 64)]),
            Case(SHORT, [(64, 48), (20, 45)]),
        ],
        targets=rf".*({CLIP_TARGETS}|language_model.*{DECODER})",
        dtype=torch.bfloat16,
        shard_size="100KB",
    )


def llava_next_vicuna() -> Family:
    rope = dict(rope_type="default", rope_theta=50.0)
    text = dict(hidden=36, heads=3, kv_heads=3, inter=52, rope_parameters=rope)
    pinpoints = [[32, 64], [96, 32], [64, 64]]
    model, processor = any_resolution("llama", -1, pinpoints, True, LLAVA_TEMPLATE, text)
    return Family(
        model=model,
        processor=processor,
        cases=[Case(LONG, [(21, 70)]), Case(SHORT, [(64, 64)])],
        targets=rf".*({CLIP_TARGETS}|language_model.*{DECODER})",
        dtype=torch.float16,
    )


def smolvlm() -> Family:
    tokenizer = smol()
    # The one of SmolVLM writes the same for images, and needs more packages, for videos.
    processor = Idefics3Processor(
        image_processor=Idefics3ImageProcessorPil(size={"longest_edge": 64}, max_image_size={"longest_edge": 32}),
        tokenizer=fast(tokenizer, bos_token="<|im_start|>", eos_token="<end_of_utterance>", pad_token="<|im_end|>"),
        image_seq_len=4,
        chat_template=SMOLVLM_TEMPLATE,
    )
    rope = dict(rope_type="default", rope_theta=500.0)
    end = tokenizer.token_to_id("<end_of_utterance>")
    config = SmolVLMConfig(
        vision_config=dict(
            hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=3, image_size=32, patch_size=8
        ),
        text_config=text_of(60, 5, 1, 72, tokenizer, model_type="llama", rope_parameters=rope, eos_token_id=end),
        image_token_id=tokenizer.token_to_id("<image>"),
        pad_token_id=tokenizer.token_to_id("<|im_end|>"),
        tie_word_embeddings=False,
        scale_factor=2,
    )
    unsplit = dict(settings={"splitting": False}, processor_settings={"do_image_splitting": False})
    return Family(
        model=SmolVLMForConditionalGeneration(config),
        processor=processor,
        cases=[Case(LONG, [(30, 30)], **unsplit), Case(SHORT, [(40, 23)]), Case(SHORT, [(23, 50), (64, 64)], **unsplit)],
        targets=rf".*(vision_model.*layers\.\d+\.(self_attn\.(k_proj|out_proj)|mlp\.fc1)|modality_projection\.proj|text_model.*{DECODER})",
        dtype=torch.bfloat16,
    )


def qwen2_5_vl() -> Family:
    tokenizer = qwen()
    processor = Qwen2_5_VLImagesOnly(
        image_processor=Qwen2VLImageProcessorPil(size={"shortest_edge": 28 * 28, "longest_edge": 28 * 28 * 16}),
        tokenizer=fast(tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>"),
        chat_template=QWEN_TEMPLATE,
    )
    token = tokenizer.token_to_id
    rope = dict(rope_type="default", rope_theta=200.0, mrope_section=[2, 3, 3])
    text = text_of(
        64, 4, 2, 72, tokenizer, rope_parameters=rope, eos_token_id=token("<|im_end|>")
    )
    # head_dim follows from the widths in this family.
    del text["head_dim"]
    config = Qwen2_5_VLConfig(
        vision_config=dict(
            depth=3,
            hidden_size=24,
            intermediate_size=36,
            num_heads=3,
            window_size=56,
            fullatt_block_indexes=[1],
            out_hidden_size=64,
        ),
        text_config=text,
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=False,
    )
    return Family(
        model=Qwen2_5_VLForConditionalGeneration(config),
        processor=processor,
        cases=[Case(LONG, [(140, 84)]), Case(SHORT, [(112, 112)]), Case(SHORT, [(28, 28), (60, 110)])],
        targets=rf".*(visual\.blocks\.\d+\.(attn\.(qkv|proj)|mlp\.up_proj)|merger\.mlp\.[02]|language_model.*{DECODER})",
        dtype=torch.bfloat16,
    )


TEXT_CASES = [Case("Hi 7?"), Case(LONG), Case("naïve 🙂 日本 12345  two  spaces")]


def text_family(model: torch.nn.Module, tokenizer, dtype: torch.dtype) -> Family:
    tokenizer.chat_template = LLAMA_TEMPLATE
    return Family(model, tokenizer, TEXT_CASES, rf".*{DECODER}", dtype)


SENTENCE_PIECE = dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def llama_tied() -> Family:
    tokenizer = sentence_piece(is_legacy=True)
    rope = dict(rope_type="default", rope_theta=300.0)
    config = LlamaConfig(**text_of(40, 5, 5, 56, tokenizer, rope_parameters=rope, tie_word_embeddings=True))
    return text_family(LlamaForCausalLM(config), fast(tokenizer, **SENTENCE_PIECE), torch.float32)


def mistral() -> Family:
    tokenizer = sentence_piece(is_legacy=False)
    rope = dict(rope_type="default", rope_theta=300.0)
    config = MistralConfig(**text_of(40, 4, 2, 56, tokenizer, rope_parameters=rope, sliding_window=448, head_dim=12))
    return text_family(MistralForCausalLM(config), fast(tokenizer, **SENTENCE_PIECE), torch.bfloat16)


def qwen2() -> Family:
    tokenizer = qwen()
    rope = dict(rope_type="default", rope_theta=400.0)
    end = tokenizer.token_to_id("<|im_end|>")
    text = text_of(42, 3, 1, 56, tokenizer, rope_parameters=rope, eos_token_id=end, bos_token_id=None)
    del text["head_dim"]
    family = text_family(
        Qwen2ForCausalLM(Qwen2Config(**text)),
        fast(tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>"),
        torch.bfloat16,
    )
    family.processor.chat_template = (
        "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    return family


FAMILIES = [llava, llava_next, llava_next_vicuna, llama_tied, mistral, qwen2, smolvlm, qwen2_5_vl]
