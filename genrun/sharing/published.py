"""Decide what of a run's records is given to others: nothing that names its machine, its user or their folders."""

from __future__ import annotations

import re
from typing import Any

from genrun.system.files import now

# Options that name a place or a run on one machine: last part of the key → what is published instead
PLACES = {
    "root": None,
    "path": None,
    "anime": None,
    "from_run": None,
    "init_from": None,
    "refit_of": None,
    "beside": [],
}
SECTIONS = {"paths": {}, "logger": {}, "sweep": {"name": None}}
# an absolute path on any system, one from the home folder, or one from the current folder
_PLACE = re.compile(r"^(/|~|\.{1,2}[/\\]|[A-Za-z]:[/\\]|\\\\|file:)")
_WORDS = re.compile(r"^[+~]*(paths|run|logger|sweep|hydra)[./=]|\.(root|path|anime|from_run)=")
# where a text names an absolute path; the addresses of web pages are none
_PLACE_INSIDE = re.compile(r"file:|(?<![\w/)\]])(?:[A-Za-z]:)?[/\\~](?=[\w.~])")


def published_config(config: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return a run's configuration without places, and the dotted keys whose values were left out."""
    left: list[str] = []
    cleaned = without_places(config, left)
    for section, instead in SECTIONS.items():
        if cleaned.get(section) not in (None, instead):
            left[:] = [key for key in left if not key.startswith(f"{section}.")] + [section]
        cleaned[section] = instead
    if cleaned["run"].get("name") is not None:
        left.append("run.name")
        cleaned["run"]["name"] = None
    return cleaned, sorted(left)


def without_places(value: Any, left: list[str], where: str = "") -> Any:
    """Return nested dictionaries and lists without values that name a place; add the dotted keys of these to `left`."""
    if isinstance(value, dict):
        made = {}
        for key, inner in value.items():
            at = f"{where}.{key}" if where else str(key)
            if key in PLACES and isinstance(inner, str | list) and inner:
                left.append(at)
                made[key] = PLACES[key]
            else:
                made[key] = without_places(inner, left, at)
        return made
    if isinstance(value, list):
        return [without_places(inner, left, f"{where}.{place}") for place, inner in enumerate(value)]
    if isinstance(value, str) and _PLACE.match(value):
        left.append(where)
        return None
    return value


def without_place(text: str) -> str:
    """Return the line of an error up to the first path that it names."""
    found = _PLACE_INSIDE.search(text)
    return f"{text[: found.start()]}…" if found else text


def published_words(words: list[str]) -> tuple[list[str], list[str]]:
    """Return the overrides that name no place, and the keys of the others."""
    kept, left = [], []
    for word in words:
        key, _, value = word.partition("=")
        private = _WORDS.search(word) or "/" in value or "\\" in value or "~" in value
        (left if private else kept).append(key if private else word)
    return kept, left


def published_provenance(record: dict[str, Any], ids: dict[str, Any], left_of_config: list[str]) -> dict[str, Any]:
    """Return how a run was made, without the command, folders, the system's own name and uncommitted code.

    Args:
        record: the content of provenance.json.
        ids: the run's id and group_id.
        left_of_config: the keys that `published_config` left out.

    Returns:
        The record; `left_out` names what it lacks.
    """
    left = list(record.get("left_out", ["command", "machine.system (its version)"]))
    words, private = published_words([str(word) for word in record.get("overrides", [])])
    left += [f"overrides: {key}" for key in private]
    machine = dict(record.get("machine", {}))
    if isinstance(machine.get("system"), str):  # the full name tells the kernel's build
        machine["system"] = machine["system"].partition("-")[0]
    git = record.get("git")
    if git and git.get("patch"):
        left.append("git.patch (uncommitted code)")
    if record.get("parent"):
        left.append("parent")
    if resumed := record.get("resumed"):
        left.append(f"resumed (what changed in {len(resumed)} later attempts)")
    names = ("versions", "device", "checksum", "seed", "identity", "arithmetic")
    places: list[str] = []
    kept = without_places({name: record[name] for name in names if name in record}, places)
    return {
        **ids,
        "overrides": words,
        "git": git and {"commit": git.get("commit"), "dirty": git.get("dirty")},
        "machine": machine,
        **kept,
        "resumed": [],
        "exported": now(),
        "left_out": left + places + [f"config: {key}" for key in left_of_config],
    }
