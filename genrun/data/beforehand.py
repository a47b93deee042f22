"""Check what can be known of the data before torch is imported: options, files and the sizes of images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from genrun.config.build import check_option
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
MODULES = ("genrun.data.module.ImageData", "genrun.data.numbers.NumbersData")


def check_options(options: Mapping[str, Any]) -> None:
    """Check the options of `genrun.data.module.ImageData`, as far as they can be wrong by themselves.

    Raises:
        Refused: a number is too small or none at all, a share is above 1, or the classes are no list.
    """
    for key, least in LEAST.items():
        if key not in options or (options[key] is None and key in OR_NULL):
            continue
        value = options[key]
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise Refused(f"data.{key} must be a whole number of at least {least}, got {value!r}")
    if not is_amount(held_out := options.get("validation", 0)) or (held_out > 1 and held_out % 1):
        raise Refused(f"data.validation must be a number of images, or a share below 1, got {held_out!r}")
    check_option("data.memory_limit", limit := options.get("memory_limit", 0), float)
    if not is_amount(limit):
        raise Refused(f"data.memory_limit must be a number of GiB, got {limit!r}")
    check_option("data.classes", options.get("classes"), Sequence[int | str] | None)


def is_amount(value: Any) -> bool:
    """Return whether a value is a number of at least 0."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def check_data(options: Mapping[str, Any], *, read: bool) -> None:
    """Check the options of genrun's data module, and the files of the user that it will read.

    Args:
        options: those of `data` in the configuration.
        read: whether the files were read before, and have not changed since.

    Raises:
        Refused: an option is wrong, a file is missing or is no image, or images differ in size and are not resized.
    """
    if options.get("_target_") not in MODULES:
        return
    check_options(options)
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
