"""Compute the identity of a run: all options that decide its result. The hash of the identity is the run's id."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from genrun.config.container import to_container
from genrun.errors import Refused

RECIPE_VERSION = 1  # raise it when a change of the code makes the same configuration train differently
# Options that were added later, with the value that keeps the earlier behaviour. An option with this value is left out of the
# identity, so that earlier runs keep their ids. Dotted path in the identity -> value.
NEUTRAL: dict[str, Any] = {
    "model.refine_pixels": 16,
    "model.moved": None,
    "model.auxiliary": 0.0,
    "model.posterior_deviation": None,
    "model.code_decay": 0.0,
    "model.decoder_decay": 0.0,
    "model.mmd": 0.0,
    "model.sigma_data": None,
    "model.code_start": "noise",
    "model.basis": 0,
    "model.place_hidden": [256],
    "model.place_octaves": 0,
    "model.output": "linear",
    "model.sampler.rho": None,
    "model.sampler.sigma_max": 20.0,
    "model.sampler.sigma_min": 0.02,
    "compile": False,
    "memory_format": "contiguous",
    "data.augment": {"_target_": "genrun.data.augmentation.Augmentation", "flip": False, "shift": 0},
}
# Options that replaced an older one: new option -> (its value, the older option, the older option's value that meant the same).
# The identity contains the older option, so that both name the same run.
REPLACED: dict[str, tuple[Any, str, Any]] = {
    "model.prior": (
        {
            "_target_": "genrun.maths.mixtures.ClassMixture",
            "_partial_": True,
            "components": 1,
            "covariance": "full",
            "covariance_scale": 1.0,
            "reg_covar": 0.0001,
            "relative": True,
        },
        "components",
        1,
    )
}

# Keys that do not decide the result: paths, how data is loaded, names.
_NOT_DATA = {"name", "facts", "seed", "workers", "memory_limit"}
_NOT_SOURCE = {"root", "path", "anime"}  # the checksum identifies the content
_NOT_IMAGES = {"batch_size", "passes", "augment"}  # nor do these decide what the judge sees


def digest(content: Any, length: int = 8) -> str:
    """Return the first `length` hexadecimal digits of the sha256 of nested dictionaries and lists, written as canonical JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:length]


def identity(cfg: DictConfig) -> dict[str, Any]:
    """Return everything that decides the result of a run, and nothing else (no device, loggers, paths or figures).

    Raises:
        omegaconf.errors.MissingMandatoryValue: `cfg.data.facts` lacks the facts of the data.
    """
    data = data_identity(cfg)
    if cfg.data.seed != cfg.seed:  # by default it is the seed of the run
        data["source"]["seed"] = cfg.data.seed
    if cfg.data.get("classes") is not None and cfg.data.get("validation", 0) >= 1:
        # of these classes images are held out in proportion; earlier runs held out the whole number
        data["classes"] = ["in proportion", *data["classes"]]
    result = {
        "model": {key: value for key, value in to_container(cfg.model).items() if key != "name"},
        "data": data,
        "checksum": cfg.data.facts.checksum,
        "trainer": to_container(cfg.trainer),
        "callbacks": to_container(cfg.callbacks.training),
        "precision": str(cfg.hardware.precision),
        "compile": bool(cfg.hardware.get("compile", False)),  # fused operations round differently
        "memory_format": str(cfg.hardware.get("memory_format", "contiguous")),  # other kernels round differently
        "init_from": weights_digest(cfg.run.init_from),
        "seed": cfg.seed,
        "recipe_version": RECIPE_VERSION,
    }
    for name, source in taken_phases(cfg.model).items():
        result["model"][name]["from_run"] = file_digest(source, f"model.{name}.from_run={source.parents[2]}")
    for path, value in NEUTRAL.items():
        node, last = parent_of(path, result)
        if last in node and node[last] == value:
            del node[last]
    for path, (value, before, was) in REPLACED.items():
        node, last = parent_of(path, result)
        if node.get(last) == value:
            del node[last]
            node[before] = was
    return result


def parent_of(path: str, node: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the dictionary that holds the last key of a dotted path, and that key; an empty one if there is none."""
    *parents, last = path.split(".")
    for parent in parents:
        node = node.get(parent)
        if not isinstance(node, dict):  # such as a sampler that is a word
            return {}, last
    return node, last


def data_identity(cfg: DictConfig | dict[str, Any]) -> dict[str, Any]:
    """Return the options that decide which data is read, and how; without its path, its name, and later options that are neutral."""
    data = to_container(cfg["data"])
    source = {key: value for key, value in data["source"].items() if key not in _NOT_SOURCE}
    neutral = {path.removeprefix("data."): value for path, value in NEUTRAL.items() if path.startswith("data.")}
    kept = {key: value for key, value in data.items() if key not in _NOT_DATA and (key, value) not in neutral.items()}
    return kept | {"source": source}


def images_key(cfg: DictConfig) -> str:
    """Return a hash of the images of all splits; it does not depend on the batches."""
    data = {key: value for key, value in data_identity(cfg).items() if key not in _NOT_IMAGES}
    return digest([data, to_container(cfg.data.facts)], 16)


def taken_phases(model: Any) -> dict[str, Path]:
    """Return the phases of the training that are taken from another run: the phase's name → the file of its weights there.

    The option `model.<phase>.from_run` names the folder of that run.

    Args:
        model: the configuration's section `model`.
    """
    taken = {}
    for name in model.get("phases") or {}:
        options = model.get(name)
        if hasattr(options, "get") and options.get("from_run"):
            run = Path(str(options.get("from_run"))).expanduser()
            taken[str(name)] = run / "checkpoints" / str(name) / "weights.safetensors"
    return taken


def weights_digest(run: str | None) -> str | None:
    """Return the sha256 of the weights of the run folder that a run starts from; None if `run` is None.

    Raises:
        Refused: the folder has no model.safetensors.
    """
    return None if run is None else file_digest(Path(run) / "model.safetensors", f"run.init_from={run}")


def file_digest(weights: Path, option: str) -> str:
    """Return the sha256 of a file of weights in a run folder.

    Args:
        option: the option that names the folder, for the error message.

    Raises:
        Refused: there is no such file.
    """
    if not weights.is_file():
        raise Refused(f"{option}: expected the folder of a run with {weights.name}, there is no {weights}")
    with open(weights, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def differing_options(one: DictConfig, other: DictConfig) -> list[str]:
    """Return the dotted options in which the identities of two configurations differ, with their current names."""
    today = {f"{path.rpartition('.')[0]}.{before}": path for path, (_, before, _) in REPLACED.items()}
    keys = [today.get(key, key) for key in _differing(identity(one), identity(other))]
    return list(dict.fromkeys(keys))


def _differing(one: Any, other: Any, prefix: str = "") -> list[str]:
    """Return the dotted keys in which two nested dictionaries differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted(one.keys() | other.keys())
        return [path for key in keys for path in _differing(one.get(key), other.get(key), f"{prefix}{key}.")]
    return [] if one == other else [prefix.rstrip(".")]
