"""Check of the data what can be known before torch is imported: numbers, files and the sizes of images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from genrun.data.decode import ONE_SIZE, extent_of, read_headers
from genrun.data.layout import layout_below
from genrun.data.places import check_npz, npz_files
from genrun.errors import Refused

LOOKED_AT = 64  # images whose sizes are compared; all are compared when the data is read
LEAST: dict[str, int] = {
    "batch_size": 1,
    "limit": 1,
    "resize": 1,
    "passes": 1,
    "workers": 0,
    "seed": 0,
}  # of whole numbers
OR_NULL = ("limit", "resize")


def check_numbers(options: Mapping[str, Any]) -> None:
    """Check the numbers among the options of `genrun.data.module.ImageData`.

    Raises:
        Refused: a number is too small, or is none.
    """
    for key, least in LEAST.items():
        if key not in options or (options[key] is None and key in OR_NULL):
            continue
        value = options[key]
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise Refused(f"data.{key} must be a whole number of at least {least}, got {value!r}")


def check_data(options: Mapping[str, Any], *, read: bool) -> None:
    """Check the options of genrun's data module, and the files of the user that it will read.

    Args:
        options: those of `data` in the configuration.
        read: whether the files were read before, and have not changed since.

    Raises:
        Refused: an option is wrong, a file is missing or is no image, or images differ in size and are not resized.
    """
    if options.get("_target_") != "genrun.data.module.ImageData":
        return
    check_numbers(options)
    source = options.get("source") or {}
    if not read and (check := CHECKS.get(source.get("_target_"))):
        check(source, options.get("resize"))


def check_folder(source: Mapping[str, Any], resize: int | None) -> None:
    """Check a folder of image files, and that some of the images have one size."""
    files = [file for part in layout_below(source.get("path"), source.get("channels")).files() for file in part]
    if resize is None:
        some = files[:: -(-len(files) // LOOKED_AT)]
        if isinstance(extent := extent_of(some, read_headers(some)), str):
            raise Refused(f"{extent}; {ONE_SIZE}")


def check_arrays(source: Mapping[str, Any], resize: int | None) -> None:
    """Check that the .npz files are there."""
    for file in npz_files(source.get("path"), source.get("num_classes"))[1]:
        check_npz(file)


CHECKS: dict[str | None, Callable[[Mapping[str, Any], int | None], None]] = {
    "genrun.data.folders.image_folder": check_folder,
    "genrun.data.arrays.npz": check_arrays,
}
