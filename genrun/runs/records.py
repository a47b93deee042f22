"""Read the records of a run folder, which may be damaged or made by a stranger: check their size and form before they are used."""

from __future__ import annotations

import csv
import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from genrun.config.schema import check_name
from genrun.errors import Refused
from genrun.system.files import read_regular

# bytes that the largest true records stay far below
LARGEST_YAML = 2**20
LARGEST_JSON = 2**26
LARGEST_CSV = 2**28
# parts, characters and levels that a true configuration stays far below
MOST_PARTS = 200_000
LONGEST_TEXT = 10_000
DEEPEST = 40
MOST_DIGITS = 100  # of an integer: longer ones are no float

# The forms of records, see `check_form`.
Form = Any
ANY = "*"  # a key that stands for all keys that a form does not name
NUMBER = (int, float)
TEXT = (str, type(None))

_COST = {"epoch": int, "step": int, "repeatable": bool, "training_seconds": NUMBER, "peak_memory_gib": NUMBER}
_PHASE = _COST | {"training_images": int}
STATUS: Form = {
    "format": int,
    "state": str,
    "stages": {ANY: {"key": str, "outputs": [str]}},
    "attempts": [{"state": str}],
    "error?": TEXT,
    "error_kind?": TEXT,
    "phases?": {ANY: _PHASE},
    "sampling_seconds?": NUMBER,
    "imported?": {"from": str, "exported": str},
    **{f"{key}?": form for key, form in _PHASE.items()},
}
RESULTS: Form = {
    "title": str,
    "rows": [
        {
            "name": str,
            "value": (*NUMBER, *TEXT),
            "note": str,
            "floor?": NUMBER,
            "floor_count?": int,
            "spread?": NUMBER,
            "best?": str,
            "protocol?": str,
        }
    ],
}
PROVENANCE: Form = {
    "machine": dict,
    "versions": dict,
    "resumed": [dict],
    "git?": (dict, type(None)),
    "overrides?": [str],
    "left_out?": [str],
}
FACTS: Form = {"image_shape": [int], "num_classes": int, "class_names": [str], "train_size": int, "checksum": str}
CONFIG: Form = {
    "model": {"name": str, "phases?": {ANY: {"max_epochs": int}}},
    "data": {"name": str, "source": dict, "facts": FACTS, "seed": int},
    "trainer": {"max_epochs": (int, type(None))},
    "callbacks": {"training": dict, "watching": dict},
    "hardware": {"accelerator": str, "precision": (str, int)},
    "evaluation": dict,
    "paths": dict,
    "run": {"init_from": TEXT},
    "sweep": {"name": TEXT},
    "sample": {"n": int, "chunk": int},
    "seed": int,
}


def read_json(file: Path, form: Form, advice: str) -> Any:
    """Return the content of a JSON record.

    Args:
        form: what it must look like, see `check_form`.
        advice: the end of the error message: what the user can do.

    Raises:
        FileNotFoundError: there is no such file.
        Refused: it cannot be read, or has another form.
    """
    try:
        content = json.loads(_read(file, LARGEST_JSON, advice), parse_int=_integer)
        check_form(content, form)
    except (ValueError, RecursionError) as error:
        raise Refused(f"{file} is not the record of a run ({error}); {advice}") from None
    return content


def read_config(folder: Path) -> DictConfig:
    """Return the configuration of a run from its folder. Nothing in it is resolved: saved configurations have no interpolations.

    Raises:
        Refused: it is missing or damaged, lacks a section, has an interpolation, or has a name that is no name of a folder.
    """
    file = folder / "config.yaml"
    try:
        content = _read(file, LARGEST_YAML, "expected the configuration of a run")
        check_yaml(content)
        config = OmegaConf.create(content)
        check_form(plain := OmegaConf.to_container(config), CONFIG)
        if unknown := plain["data"]["facts"].keys() - FACTS.keys():
            raise ValueError(f"data.facts has an unknown {', '.join(map(str, unknown))}")
    except FileNotFoundError:
        raise Refused(f"{folder}: expected a run folder (with config.yaml), found none there") from None
    except Refused:
        raise
    except Exception as error:  # YAML and OmegaConf have a dozen kinds
        raise Refused(f"{file} cannot be read as the configuration of a run ({first_line(error)})") from error
    for section in ("model", "data"):
        check_name(f"{file}: {section}.name", plain[section]["name"])
    for name in plain["model"].get("phases") or {}:
        check_name(f"{file}: model.phases", name)
    return config


def read_plain_config(folder: Path) -> dict[str, Any]:
    """Return the configuration of a run as plain dictionaries, read quickly; of nothing in it an object is made.

    Raises:
        Refused: it is missing, damaged, or lacks a section.
    """
    file = folder / "config.yaml"
    try:
        content = _read(file, LARGEST_YAML, "expected the configuration of a run")
        if "&" in content:  # aliases need anchors
            check_yaml(content)
        config = yaml.load(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        check_form(config, CONFIG)
    except FileNotFoundError:
        raise Refused(f"{folder}: expected a run folder (with config.yaml), found none there") from None
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise Refused(f"{file} cannot be read as the configuration of a run ({first_line(error)})") from None
    return config


def read_words(file: Path) -> list[str]:
    """Return the overrides that a run was started with; an empty list if they are missing or damaged."""
    try:
        content = _read(file, LARGEST_YAML, "")
        check_yaml(content)
        words = yaml.safe_load(content)
        check_form(words, [str])
    except (OSError, ValueError, Refused, RecursionError, yaml.YAMLError):
        return []
    return words


def read_csv(file: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV record as texts: column → field.

    Raises:
        FileNotFoundError: there is no such file.
        Refused: it cannot be read, has no columns `epoch` and `step`, or a row has another number of fields, or a text for a number.
    """
    advice = "delete it, and the command of this run makes it again"
    try:
        content = _read(file, LARGEST_CSV, advice)
        if not content:  # a table without rows has a line break
            raise ValueError("empty")
        reader = csv.DictReader(io.StringIO(content, newline=""))
        rows = list(reader)
        columns = reader.fieldnames or []
        if columns and not {"epoch", "step"} <= set(columns):
            raise ValueError(f"expected columns epoch and step, got {', '.join(columns)[:100]}")
        for row in rows:
            if None in row or None in row.values():
                raise ValueError(f"expected {len(columns)} fields in each row")
            for column, text in row.items():
                if text:
                    parsed(column, text)
    except (ValueError, csv.Error) as error:
        raise Refused(f"{file} is damaged ({first_line(error)}); {advice}") from None
    return rows


def check_samples(file: Path, most: int, image_shape: Sequence[int]) -> None:
    """Check the shape of the images in samples.npz before they are unpacked: a small file may hold more than memory does.

    Args:
        most: largest number of images.
        image_shape: (C, H, W).

    Raises:
        Refused: they are more, or have another shape. Other damage is left to the reader.
    """
    from numpy.lib import format as npy

    try:
        with zipfile.ZipFile(file) as archive, archive.open("images.npy") as images:
            version = npy.read_magic(images)
            shape = (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(images)[0]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return
    channels, height, width = image_shape
    if shape[1:] not in ((height, width, channels), (height, width)) or shape[0] > most:
        raise Refused(
            f"{file}: expected at most {most:,} images of {(height, width, channels)}, got {shape}; draw them again"
        )


def parsed(column: str, text: str) -> int | float | str:
    """Convert a field of metrics.csv to the type of its column.

    Raises:
        ValueError: it is no number, in a column of numbers.
    """
    if column == "phase":
        return text
    return int(text) if column in ("epoch", "step") else float(text)


def check_form(value: Any, form: Form, where: str = "it") -> None:
    """Check the form of a record.

    Args:
        form: a type, or a tuple of types; [form]: a list, each item of this form; a dictionary: key → form, where a key that ends in `?`
            may be missing, and `ANY` stands for all other keys.
        where: the dotted path of the value, for the error message.

    Raises:
        ValueError: the value has another form.
    """
    if isinstance(form, list):
        _check_type(value, list, where)
        for place, item in enumerate(value):
            check_form(item, form[0], f"{where}.{place}")
    elif isinstance(form, Mapping):
        _check_type(value, dict, where)
        for key, inner in form.items():
            name = key.removesuffix("?")
            if key == ANY:
                for other in value:
                    _check_type(other, str, f"the keys of {where}")
                    check_form(value[other], inner, f"{where}.{other}")
            elif name in value:
                check_form(value[name], inner, f"{where}.{name}")
            elif name == key:
                raise ValueError(f"{where} has no {name}")
    else:
        _check_type(value, form, where)


def _check_type(value: Any, kinds: type | tuple[type, ...], where: str) -> None:
    kinds = kinds if isinstance(kinds, tuple) else (kinds,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        expected = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
        raise ValueError(f"{where.removeprefix('it.')}: expected {expected}, got {repr(value)[:60]}")


def check_yaml(text: str) -> None:
    """Check, before a YAML text is loaded, that it stays small in memory and names no other value.

    Raises:
        ValueError: it has an alias (few lines of aliases of aliases stand for more than any memory holds), an interpolation (which could
            read a variable of the environment) or a missing value, more parts or levels than a configuration has, or a very long text.
        yaml.YAMLError: it is no YAML.
    """
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            raise ValueError(f"line {event.start_mark.line + 1}: expected no alias, got *{event.anchor}")
        if isinstance(event, yaml.ScalarEvent):
            if "${" in event.value or event.value == "???":
                line = event.start_mark.line + 1
                raise ValueError(f"line {line}: expected a value without interpolation, got {event.value[:100]}")
            if len(event.value) > LONGEST_TEXT:
                raise ValueError(f"a text of {len(event.value):,} characters, expected at most {LONGEST_TEXT:,}")
        if depth > DEEPEST or count > MOST_PARTS:
            raise ValueError(f"expected at most {DEEPEST} levels and {MOST_PARTS:,} parts")


def _read(file: Path, limit: int, advice: str) -> str:
    """Return a text file.

    Raises:
        FileNotFoundError: there is no such file.
        Refused: it cannot be read.
        UnicodeDecodeError: it is not UTF-8.
    """
    try:
        return read_regular(file, limit).decode()
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(str(file)) from None
    except OSError as error:
        raise Refused(f"{file} cannot be read ({error.strerror}); {advice}") from None


def _integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def first_line(error: Exception) -> str:
    """Return the first line of the message of an error, with the place in the file if it is YAML's."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return (str(error).splitlines() or [type(error).__name__])[0]
