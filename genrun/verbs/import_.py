"""`genrun import FOLDER`: make a run of a folder that `genrun export` wrote, on any machine."""

from __future__ import annotations

from pathlib import Path

from genrun.errors import Refused
from genrun.verbs.arguments import Arguments, outputs_folder


def main(arguments: list[str]) -> int:
    """Make the run and print its folder."""
    parser = Arguments(
        "genrun import",
        description="Make a run of a folder that genrun export wrote, or of a downloaded copy. Only safetensors, YAML, JSON and a PNG are "
        "read; code, ONNX and pickles are not. The run can be opened, sampled, refitted and exported.",
    )
    parser.add_argument("words", nargs="+", metavar="FOLDER | paths.outputs=… | data.source.path=…")
    asked = parser.parse_intermixed_args(arguments)
    words, outputs = outputs_folder(asked.words)
    places = dict(word.removeprefix("data.source.").split("=", 1) for word in words if word.startswith("data.source."))
    folders = [Path(word) for word in words if not word.startswith("data.source.")]
    if len(folders) != 1:
        parser.error(f"expected one folder, got {len(folders)}")
    if wrong := places.keys() - {"root", "path", "anime"}:
        raise Refused(f"data.source.{min(wrong)}: only the place of the data can be set: root, path or anime")
    if not folders[0].is_dir():
        raise Refused(f"{folders[0]}: there is no such folder")

    from omegaconf import OmegaConf

    from genrun.config.compose import compose
    from genrun.sharing.received import receive

    here = OmegaConf.to_container(compose([f"paths.outputs={outputs}"]).paths, resolve=True)
    run = receive(folders[0], outputs, here, places)
    print(run)
    print(f"genrun sample {run} draws images; the results of this run are those that its folder came with")
    return 0
