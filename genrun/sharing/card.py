"""Write the model card of an exported folder: README.md as the Hugging Face Hub reads it.

The records may be a stranger's: no text of theirs becomes a heading, a link, HTML or another line of a table.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Any

import yaml

from genrun.errors import printable
from genrun.report.groups import JUDGE, group_of, without_accents
from genrun.report.tables import HEADINGS, lines, markdown, results_markdown

TASK = "unconditional-image-generation"  # the Hub's only task of drawing images without a text or an image


def card(
    name: str,
    config: dict[str, Any],
    results: dict[str, Any] | None,
    export: dict[str, Any],
    provenance: dict[str, Any],
    *,
    license: str,
    num_classes: int,
) -> str:
    """Return the text of the card.

    Args:
        name: of the model.
        config: the published configuration.
        results: the content of results.json; None if the run was not judged.
        export: the content of export.json.
        provenance: the published provenance.
        license: an identifier of the Hub's.
        num_classes: of the method; 0: unconditional.
    """
    model, data = config["model"]["name"], config["data"]["name"]
    name, provenance = in_one_line(name), in_one_line(provenance)
    rows = in_one_line(results["rows"]) if results else []
    front = front_matter(name, model, data, rows, license, num_classes)
    channels, height, width = config["data"]["facts"]["image_shape"]
    kind = "grey" if channels == 1 else "colour"
    drawn = f"images of a chosen one of {num_classes} classes" if num_classes else "images"
    versions = provenance.get("versions", {})
    parts = [
        f"---\n{front}---\n",
        f"# {plain(name)}\n",
        f"This model draws {drawn}: {kind}, {height} × {width} pixels. It is `model={model}`, trained on `data={data}` with "
        f"genrun {plain(versions.get('genrun', ''))}. The license is {license}.\n",
        "![samples, not selected](samples.png)\n",
        "## Use\n",
        use(export),
        "## Results\n",
        table_of(rows) if rows else "The run was not judged.\n",
        "## Made by\n",
        made_by(provenance),
        "## Files\n",
        "`sha256sum -c SHA256SUMS` checks the files. `genrun import FOLDER` makes a run of this folder; it reads only weights, tables and "
        "text, and runs no code from it.\n",
        "Left out, because it names a machine, a user or folders: " + plain(", ".join(provenance["left_out"])) + ".\n",
    ]
    return "\n".join([parts[0], *(html.escape(printable(part), quote=False) for part in parts[1:])])


def table_page(results: dict[str, Any]) -> str:
    """Return the content of results.json as results.md."""
    return html.escape(plain(results_markdown(in_one_line(results))), quote=False)


def in_one_line(value: Any) -> Any:
    """Return nested dictionaries and lists whose texts have no line breaks."""
    if isinstance(value, dict):
        return {in_one_line(key): in_one_line(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [in_one_line(inner) for inner in value]
    return " ".join(value.split()) if isinstance(value, str) else value


def plain(text: object) -> str:
    """Return a text for Markdown, in which no link or picture begins."""
    return re.sub(r"[\\\[]", r"\\\g<0>", str(text))


def front_matter(
    name: str, model: str, data: str, rows: Sequence[dict[str, Any]], license: str, num_classes: int
) -> str:
    """Return the card's metadata as YAML."""
    metrics = [
        {"type": identifier(row["name"]), "name": printable(row["name"]), "value": row["value"]}
        for row in rows
        if isinstance(row["value"], int | float) and group_of(row["name"]) != JUDGE
    ]
    content: dict[str, Any] = {
        "license": license,
        "library_name": "genrun",
        "pipeline_tag": TASK,
        "tags": [model, data, "image-generation", "class-conditional" if num_classes else "unconditional"],
    }
    if metrics:
        task = {"type": TASK, "name": "Image generation"}
        result = {"task": task, "dataset": {"type": data, "name": data}, "metrics": metrics}
        content["model-index"] = [{"name": name, "results": [result]}]
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def identifier(metric: str) -> str:
    """Return the name of a metric as an identifier: `frechet_distance_classifier`."""
    return re.sub(r"[^a-z0-9]+", "_", without_accents(metric).lower()).strip("_") or "metric"


def use(export: dict[str, Any]) -> str:
    """Describe how to draw images with the files of the folder."""
    program = export["program"]
    if program is None:
        return f"`python example.py` draws images with genrun. There is no plain program: {plain(export['why_not'])}.\n"
    inputs = ", ".join(f"`{name}` ({', '.join(map(str, shape))})" for name, shape in program["inputs"].items())
    text = [
        f"`python example.py` draws images with torch alone: it reads model.safetensors and `{program['name']}.py`.\n"
    ]
    if program["only_decodes"]:
        text.append(f"This is the decoder only: {program['only_decodes']}. `genrun sample` draws new codes.\n")
    if program["steps"]:
        text.append(
            f"The program is one step of the sampler: the next `x` and `memory`. `x` starts as noise, `memory` as zeros; after "
            f"{program['steps']} steps, (x + 1)/2, clipped to [0, 1], are the images.\n"
        )
    if export["onnx"]:
        text.append(
            f"`{export['onnx']['file']}` is the same program for onnxruntime; on fresh inputs it differs from torch by at most "
            f"{export['onnx']['largest_error']:.1e}. Inputs: {inputs}.\n"
        )
    else:
        text.append(f"There is no ONNX file: {plain(export['why_not'])}.\n")
    return "\n".join(text)


def table_of(rows: list[dict[str, Any]]) -> str:
    """Return the table of results, without its title."""
    table = markdown("", HEADINGS, lines(rows)).split("\n", 2)[2]
    return f"{plain(table)}\n`real` is what real images get in place of the samples.\n"


def made_by(provenance: dict[str, Any]) -> str:
    """Describe how to make the model again."""
    git = provenance.get("git") or {}
    state = " with uncommitted changes" if git.get("dirty") else ""
    commit = f", commit {plain(git['commit'])}{state}" if git.get("commit") else ""
    versions = provenance.get("versions", {})
    return (
        f"    genrun {' '.join(provenance['overrides'])}\n\n"
        f"with genrun {plain(versions.get('genrun', ''))}{commit}, torch {plain(versions.get('torch', ''))}. The data has the checksum "
        f"{plain(provenance.get('checksum', ''))[:16]}…; config.yaml has every option, provenance.json the versions and the device.\n"
    )
