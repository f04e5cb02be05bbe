"""Loads adapters that this project has trained and saved with PEFT, and holds what Transformers then computes against the engine.

    npm run build && python test/golden/check_adapters.py [name ...]

Needs what make_models.py needs. The adapters are those of save-adapter.mjs: on every linear layer, after two steps of training.
"""

import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import peft
import torch
from make_models import FOLDER, encode, response_log_probs
from model_families import FAMILIES

HERE = Path(__file__).resolve().parent
TOLERANCE = 1e-5


def relative_error(name: str, make) -> tuple[float, float, int]:
    """The largest difference over the largest log-prob, how much the adapter moves that, and the number of its tensors."""
    base = FOLDER / name
    family = make()
    inputs = encode(family, family.cases[0])
    response = json.loads((base / "case.json").read_text())["cases"][0]["response"]
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        subprocess.run(["node", HERE / "save-adapter.mjs", name, folder], check=True)
        expected = torch.tensor(json.loads((Path(folder) / "log_probs.json").read_text()))
        model = type(family.model).from_pretrained(base, dtype=torch.float32, attn_implementation="eager").eval()
        without = response_log_probs(model, inputs, response)[0]
        with warnings.catch_warnings():
            # PEFT says of keys that it misses no more than this.
            warnings.simplefilter("error", UserWarning)
            adapted = peft.PeftModel.from_pretrained(model, folder).eval()
        received = response_log_probs(adapted, inputs, response)[0]
        tensors = len(peft.utils.save_and_load.load_peft_weights(folder))
        held = sum("lora_" in key for key, _ in adapted.named_parameters())
    if tensors != held:
        raise SystemExit(f"{name}: the file has {tensors} tensors, PEFT's model {held}")
    largest = received.abs().max()
    return ((received - expected).abs().max() / largest).item(), ((received - without).abs().max() / largest).item(), tensors


def main() -> None:
    torch.set_num_threads(1)
    names = set(sys.argv[1:])
    for make in FAMILIES:
        name = make.__name__.replace("_", "-")
        if names and name not in names:
            continue
        error, moved, tensors = relative_error(name, make)
        print(f"{name}: {tensors} tensors, relative error {error:.2e}, moved by {moved:.2e}")
        if error > TOLERANCE:
            raise SystemExit(f"expected at most {TOLERANCE}")


if __name__ == "__main__":
    main()
