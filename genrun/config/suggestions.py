"""What a user may have meant: whole keys for a short or misspelt one, and how a value with special characters is quoted."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Sequence

# Words of other programs -> the last part of the key that means the same here.
SYNONYMS = {
    "accelerator": "hardware.accelerator",
    "batch": "data.batch_size",
    "bs": "data.batch_size",
    "cuda": "hardware.accelerator",
    "device": "hardware.accelerator",
    "epoch": "max_epochs",
    "epochs": "max_epochs",
    "gpu": "hardware.devices",
    "gpus": "hardware.devices",
    "image_size": "data.resize",
    "latent_dim": "code_size",
    "learning_rate": "lr",
    "max_epoch": "max_epochs",
    "n_epochs": "max_epochs",
    "num_epochs": "max_epochs",
    "num_samples": "sample.n",
    "num_workers": "data.workers",
    "output": "paths.outputs",
    "output_dir": "paths.outputs",
    "precision": "hardware.precision",
    "random_seed": "seed",
    "resolution": "data.resize",
    "samples": "sample.n",
    "z_dim": "code_size",
}


def whole_keys(word: str, keys: Sequence[str]) -> list[str]:
    """Return the keys that a word may stand for, the likeliest first; an empty list if there is none.

    This is the key beside it that is most like it; else the keys whose last part is the word or means the same, else the one most like
    the word, else those with a part like it.

    Args:
        word: a key that does not exist, such as `lr`, `epochs` or `trainer.max_epoch`.
        keys: all dotted keys of the configuration.
    """
    group, _, last = word.rpartition(".")
    keys = [key for key in keys if key != word]
    if any(key.startswith("model.phases.") for key in keys):  # each phase has a budget of its own
        keys = [key for key in keys if key != "trainer.max_epochs"]
    siblings = {key.rpartition(".")[2]: key for key in keys if group and key.rpartition(".")[0] == group}
    if near := difflib.get_close_matches(last, siblings, n=1):
        return [siblings[near[0]]]
    meant = SYNONYMS.get(last, last)
    same = [key for key in keys if f".{key}".endswith(f".{meant}")]
    if group:
        same = [key for key in same if group.partition(".")[0] in key.split(".")]
    if same:
        return [key for key in same if not key.startswith("evaluation.")] or same
    if near := difflib.get_close_matches(word, [key for key in keys if ("." in key) == bool(group)], n=1):
        return near
    lasts = list(dict.fromkeys(key.rpartition(".")[2] for key in keys))
    like = difflib.get_close_matches(last, lasts, n=1) or [one for one in lasts if last in one.split("_")]
    return [key for key in keys if key.rpartition(".")[2] in like]


def quoted(word: str) -> str:
    """Return how `option=value` is typed in a shell so that the value is read as a text, whatever characters it has.

    Args:
        word: an override as genrun got it, such as `data.source.path=my faces (1)`.
    """
    key, _, value = word.partition("=")
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":  # quotes that did not help
        value = value[1:-1]
    simple = not set('"$`\\!') & set(value)  # then a shell leaves what is between double quotes as it is
    mark = "'" if simple else '"'
    # Hydra counts a backslash only before a quote, where it is doubled; ${ would be an interpolation
    escaped = re.sub(rf"(\\*)({mark}|$)", lambda at: at[1] * 2 + (f"\\{mark}" if at[2] else ""), value)
    escaped = escaped.replace("${", "\\${")
    return f"\"{key}='{escaped}'\"" if simple else shlex.quote(f'{key}="{escaped}"')
