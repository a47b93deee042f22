"""Read the comments of a YAML file: what stands beside an option, or above it.

PyYAML drops comments, but its nodes know where each key and value ends, whatever quotes, flow mappings or line breaks they have. A `#`
after that place, on the same line, begins a comment and nothing else. So this needs no second YAML library, whose parser would read
some values otherwise than the one that reads the configuration.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass
class Comments:
    """The comments of a YAML file.

    Args:
        about: the comment at its top, which describes the file.
        package: what its line `# @package …` says; None if it has none.
        options: dotted key in the file → its comment; keys without one are left out.
        bases: choices of the same group that its defaults list names.
        keys: all dotted keys in the file.
    """

    about: str = ""
    package: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    bases: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)


def comments_of(text: str) -> Comments:
    """Read the comments of a YAML file.

    - Beside: what follows the value on its line, and the lines below it that are comments and begin in the same column. An option that has
      options below it has its comment beside its key.
    - Above: the lines directly above the key that are comments as far to the right as the key, if there is nothing beside it.
    - The comment at the top of the file describes the file; it is not that of the first option.

    Raises:
        yaml.YAMLError: it is no YAML.
    """
    lines, made = text.splitlines(), Comments()
    top = 0
    while top < len(lines) and lines[top].startswith("#"):
        if found := re.match(r"#\s*@package\s+(\S+)", lines[top]):
            made.package = found[1]
        else:
            made.about = f"{made.about} {lines[top].lstrip('#').strip()}".strip()
        top += 1
    root = yaml.compose(text, Loader=LOADER)
    if not isinstance(root, yaml.MappingNode):
        return made
    for key, name, value in pairs(root):
        if key == "defaults" and isinstance(value, yaml.SequenceNode):
            made.bases = [
                one.value for one in value.value if isinstance(one, yaml.ScalarNode) and one.value != "_self_"
            ]
        if key.split(".")[0] == "defaults":
            continue
        made.keys.append(key)
        nested = isinstance(value, yaml.CollectionNode) and not value.flow_style
        comment = beside(lines, name.end_mark if nested else end_of(value)) or above(lines, name.start_mark, top)
        if comment:
            made.options[key] = comment
    return made


def pairs(node: yaml.MappingNode, path: str = "") -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
    """Yield the dotted key, the node of the key and the node of the value of every option, those that hold others included."""
    for name, value in node.value:
        key = f"{path}{name.value}"
        yield key, name, value
        if isinstance(value, yaml.MappingNode):
            yield from pairs(value, f"{key}.")


def end_of(value: yaml.Node) -> yaml.Mark:
    """Return where a scalar or a flow collection ends; a text of several lines (| or >) has its comment beside its mark."""
    return value.start_mark if isinstance(value, yaml.ScalarNode) and value.style in ("|", ">") else value.end_mark


def beside(lines: list[str], end: yaml.Mark) -> str:
    """Return the comment that follows a place on its line, with the lines that continue it."""
    rest = lines[end.line][end.column :] if end.line < len(lines) else ""
    found = re.match(r"[:,|>+\-\d]*\s*#(.*)", rest)
    if not found:
        return ""
    column, said = end.column + rest.index("#"), [found[1]]
    for line in lines[end.line + 1 :]:
        if not line.lstrip().startswith("#") or line.index("#") != column:
            break
        said.append(line[column + 1 :])
    return " ".join(part.strip() for part in said)


def above(lines: list[str], start: yaml.Mark, top: int) -> str:
    """Return the comment in the lines directly above a key, as far to the right as the key is.

    Args:
        top: the first line after the comment that describes the file.
    """
    said: list[str] = []
    for line in reversed(lines[top : start.line]):
        if not line.lstrip().startswith("#") or line.index("#") != start.column:
            break
        said.insert(0, line.lstrip().lstrip("#").strip())
    return " ".join(said)
