"""The case "ppo-iteration": RL4VLM (arXiv 2405.10292) on a LLaVA of Hugging Face Transformers, of the size asked for.

Weights and frames are random and responses have a fixed length, so that the work is the same for everyone; the
environment costs nothing and image preprocessing is left out. The whole model is trained in both styles (no
low-rank adapters), with a value head on the hidden state of the last prompt token, by PPO with the reference's
losses (clip 0.1, clipped value loss, gamma 0.9, lambda 0.95, thought tokens weighted 0.5).

"published" follows the reference implementation where it costs time:
  - one environment; every step is one `generate` of batch 1, sampling with a key-value cache (top-k stays 50);
  - every sampled response is scored again in a second forward pass over prompt and response, the response padded
    to 2 * maxNewTokens (512 for the reference's 256) and no padding skipped, with logits and their log-softmax
    for every position; the value comes from that pass too;
  - the update takes one transition at a time, padded likewise, forward and backward, and steps Adam after every
    128 of them: 16 steps per iteration, however large `minibatchSize` is;
"batched" is what a careful user of the same libraries writes: all environments in one `generate`, log-probs from
its logits and the value from its hidden states, so nothing is scored twice; no padding; minibatches of
`minibatchSize` in one forward and backward, logits for response tokens only, fused AdamW.

A fraction f of an iteration runs f of its environment steps and f of its updates (whole ones, at least one each)
and reports times scaled to all of them.
"""

from __future__ import annotations

import contextlib
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration
from transformers.utils import logging

from torch_train import Unsupported

TEMPERATURE, CLIP, GAMMA, GAE_LAMBDA, THOUGHT_WEIGHT = 0.5, 0.1, 0.9, 0.95, 0.5
PUBLISHED_ACCUMULATION = 128
# Of the random weights: large enough that logits depend on the context and `check` means something.
DEVIATION = 0.1
STYLES = ("published", "batched")


def llava(spec: dict) -> LlavaForConditionalGeneration:
    """A LLaVA with the sizes of a ModelSpec; like LLaVA's, its CLIP tower has a class token, which is dropped."""
    vision, decoder = spec["vision"], spec["decoder"]
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=vision["width"],
            intermediate_size=vision["mlpWidth"],
            num_hidden_layers=vision["layers"],
            num_attention_heads=vision["heads"],
            num_channels=vision["channels"],
            image_size=vision["imageSize"],
            patch_size=vision["patchSize"],
            hidden_act="gelu_pytorch_tanh",
            initializer_range=DEVIATION,
        ),
        text_config=LlamaConfig(
            vocab_size=decoder["vocabularySize"],
            hidden_size=decoder["width"],
            intermediate_size=decoder["mlpWidth"],
            num_hidden_layers=decoder["layers"],
            num_attention_heads=decoder["heads"],
            num_key_value_heads=decoder["keyValueHeads"],
            head_dim=decoder["headSize"],
            max_position_embeddings=4096,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=spec["endTokenId"],
            initializer_range=DEVIATION,
            tie_word_embeddings=False,
        ),
        image_token_index=spec["imageTokenId"],
        vision_feature_layer=-1,
        tie_word_embeddings=False,
        attn_implementation="sdpa",
    )
    return LlavaForConditionalGeneration(config)


class PpoIteration:
    """One opened ppo-iteration case; memory and wall time are those of the library as it comes."""

    def __init__(self, settings: dict):
        if settings["style"] not in STYLES:
            raise Unsupported(f"style: expected {' or '.join(STYLES)}, received {settings['style']!r}")
        if settings["precision"] not in ("fp32", "bf16"):
            raise Unsupported(f"precision: expected fp32 or bf16, received {settings['precision']!r}")
        logging.set_verbosity_error()
        torch.manual_seed(0)
        self.settings, spec = settings, settings["model"]
        self.published = settings["style"] == "published"
        self.autocast = settings["precision"] == "bf16"
        self.model = llava(spec)
        width = spec["decoder"]["width"]
        sizes = [width, *spec["valueHead"]["hiddenWidths"]]
        hidden = [m for a, b in zip(sizes, sizes[1:]) for m in (nn.Linear(a, b), nn.ReLU())]
        self.value_head = nn.Sequential(*hidden, nn.Linear(sizes[-1], 1))
        parameters = [*self.model.parameters(), *self.value_head.parameters()]
        rate = settings.get("learningRate", 1e-4)
        self.optimizer = torch.optim.AdamW(parameters, lr=rate, eps=1e-7, weight_decay=0.0, fused=True)

        vision = spec["vision"]
        patches = (vision["imageSize"] // vision["patchSize"]) ** 2
        text = settings["promptTokens"] - patches
        if text < 1:
            raise Unsupported(f"promptTokens: expected more than the {patches} image tokens, received {text + patches}")
        self.image_token = spec["imageTokenId"]
        self.image_shape = (vision["channels"], vision["imageSize"], vision["imageSize"])
        special = {spec["imageTokenId"], spec["endTokenId"]}
        ordinary = torch.tensor([t for t in range(spec["decoder"]["vocabularySize"]) if t not in special])
        words = ordinary[torch.randint(len(ordinary), (text,))]
        self.prompt = torch.cat([torch.full((patches,), spec["imageTokenId"]), words])
        self.length = settings["responseTokens"]
        self.weights = torch.ones(self.length)
        self.weights[: int(0.8 * self.length)] = THOUGHT_WEIGHT

    def _precision(self):
        return torch.autocast("cpu", torch.bfloat16) if self.autocast else contextlib.nullcontext()

    def _generate(self, images: Tensor, **outputs):
        """`responseTokens` sampled tokens for every image (B, C, H, W), by the library's own loop."""
        prompts = self.prompt.expand(len(images), -1)
        with torch.no_grad(), self._precision():
            return self.model.generate(
                input_ids=prompts,
                attention_mask=torch.ones_like(prompts),
                pixel_values=images,
                do_sample=True,
                temperature=TEMPERATURE,
                min_new_tokens=self.length,
                # An image token in a response would ask for features when the response is scored.
                suppress_tokens=[self.image_token],
                max_new_tokens=self.length,
                return_dict_in_generate=True,
                **outputs,
            )

    def _sampled_log_probs(self, logits: tuple[Tensor, ...], tokens: Tensor) -> Tensor:
        """Log-probs (B, T) of sampled tokens (B, T) from the raw logits (B, V) of every decode step."""
        scaled = torch.stack(logits, dim=1).float() / TEMPERATURE
        return scaled.log_softmax(-1).gather(2, tokens[:, :, None]).squeeze(2)

    def _score(self, images: Tensor, responses: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probs (B, T) of responses (B, T) and values (B), by a forward pass over prompts and responses."""
        start = len(self.prompt)
        if self.published:
            responses = F.pad(responses, (0, 2 * self.settings["maxNewTokens"] - responses.shape[1]))
        tokens = torch.cat([self.prompt.expand(len(images), -1), responses], dim=1)
        with self._precision():
            hidden = self.model.model(input_ids=tokens, pixel_values=images, use_cache=False).last_hidden_state
            values = self.value_head(hidden[:, start - 1]).squeeze(1).float()
            # The published code takes logits of every position, and of them those before the response's tokens.
            rows = hidden if self.published else hidden[:, start - 1 : -1]
            logits = self.model.lm_head(rows).float() / TEMPERATURE
        log_probs = logits.log_softmax(-1)
        if self.published:
            log_probs = log_probs[:, start - 1 : -1]
        chosen = log_probs.gather(2, responses[:, :, None]).squeeze(2)
        return chosen[:, : self.length], values

    def _play(self, steps: int) -> dict[str, Tensor]:
        """A rollout of `steps` lock-steps, as arrays (steps * environments, ...)."""
        environments = 1 if self.published else self.settings["environments"]
        columns = images, responses, scores, values = [], [], [], []
        for _ in range(steps):
            frames = torch.rand(environments, *self.image_shape)
            if self.published:
                tokens = self._generate(frames).sequences[:, len(self.prompt) :]
                with torch.no_grad():
                    log_probs, value = self._score(frames, tokens)
            else:
                out = self._generate(frames, output_logits=True, output_hidden_states=True)
                tokens = out.sequences[:, len(self.prompt) :]
                log_probs = self._sampled_log_probs(out.logits, tokens)
                with torch.no_grad():
                    value = self.value_head(out.hidden_states[0][-1][:, -1].float()).squeeze(1)
            for column, item in zip(columns, (frames, tokens, log_probs @ self.weights, value)):
                column.append(item)
        rollout = {
            "images": torch.cat(images),
            "responses": torch.cat(responses),
            "scores": torch.cat(scores),
            "values": torch.cat(values),
        }
        rollout["returns"] = self._returns(rollout["values"].view(steps, environments)).flatten()
        advantages = rollout["returns"] - rollout["values"]
        rollout["advantages"] = (advantages - advantages.mean()) / (advantages.std() + 1e-5)
        return rollout

    def _returns(self, values: Tensor) -> Tensor:
        """Generalized advantage estimates plus values (T, B), for rewards of an environment that costs nothing."""
        rewards = torch.randn_like(values)
        following, advantage, returns = torch.zeros_like(values[0]), torch.zeros_like(values[0]), []
        for reward, value in zip(reversed(rewards), reversed(values)):
            advantage = reward + GAMMA * following - value + GAMMA * GAE_LAMBDA * advantage
            following = value
            returns.append(advantage + value)
        return torch.stack(returns[::-1])

    def _loss(self, batch: dict[str, Tensor]) -> Tensor:
        log_probs, values = self._score(batch["images"], batch["responses"])
        ratio = (log_probs @ self.weights - batch["scores"]).exp()
        advantages = batch["advantages"]
        surrogate = torch.min(ratio * advantages, ratio.clamp(1 - CLIP, 1 + CLIP) * advantages)
        near = batch["values"] + (values - batch["values"]).clamp(-CLIP, CLIP)
        errors = torch.max((values - batch["returns"]) ** 2, (near - batch["returns"]) ** 2)
        return -surrogate.mean() + 0.25 * errors.mean()

    def _update(self, rollout: dict[str, Tensor], steps: int) -> None:
        """`steps` optimizer steps over random minibatches of the rollout."""
        count = len(rollout["scores"])
        size, pieces = (1, PUBLISHED_ACCUMULATION) if self.published else (self.settings["minibatchSize"], 1)
        for _ in range(steps):
            self.optimizer.zero_grad(set_to_none=True)
            for _ in range(pieces):
                # A fraction's rollout may be smaller than a minibatch: then its transitions serve repeatedly.
                chosen = torch.randperm(max(count, size))[:size] % count
                (self._loss({name: column[chosen] for name, column in rollout.items()}) / pieces).backward()
            self.optimizer.step()

    def check(self) -> dict:
        """What is measured, and how far the sampled log-probs are from a second scoring of the same tokens."""
        state = torch.get_rng_state()
        frames = torch.rand(2, *self.image_shape)
        out = self._generate(frames, output_logits=True)
        tokens = out.sequences[:, len(self.prompt) :]
        sampled = self._sampled_log_probs(out.logits, tokens)
        with torch.no_grad():
            scored, _ = self._score(frames, tokens)
        torch.set_rng_state(state)
        return {
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "promptTokens": len(self.prompt),
            "responseTokens": tokens.shape[1],
            "logProbDifference": (sampled - scored).abs().max().item(),
        }

    def run(self) -> dict:
        """Seconds of a whole iteration, and those measured if only a fraction ran."""
        settings, fraction = self.settings, self.settings.get("fraction", 1)
        transitions = settings["environments"] * settings["stepsPerEnvironment"]
        steps = transitions if self.published else settings["stepsPerEnvironment"]
        size = PUBLISHED_ACCUMULATION if self.published else settings["minibatchSize"]
        updates = transitions * settings["epochs"] // size
        played, updated = max(1, round(steps * fraction)), max(1, round(updates * fraction))
        start = time.perf_counter()
        rollout = self._play(played)
        middle = time.perf_counter()
        self._update(rollout, updated)
        end = time.perf_counter()
        rollout_seconds = (middle - start) * steps / played
        update_seconds = (end - middle) * updates / updated
        return {
            "seconds": rollout_seconds + update_seconds,
            "measuredSeconds": end - start,
            "rolloutSeconds": rollout_seconds,
            "updateSeconds": update_seconds,
            "scaling": f"{played} of {steps} rollout steps, {updated} of {updates} optimizer steps",
        }
