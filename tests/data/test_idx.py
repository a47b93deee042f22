"""MNIST's format: one line for each way a file can be wrong."""

from __future__ import annotations

import numpy as np
import pytest
from data_files import (
    IDX_NAMES,
    idx_bytes,
    refusal,
    write_idx,
)

from genrun.data import sources


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        (0, lambda whole: whole[:-100], "truncated: its header promises 31376 bytes, the file has 31276"),
        (0, lambda whole: whole[:9], "truncated"),
        (0, lambda whole: b"", "got an empty file"),
        (0, lambda whole: whole + b"more", "the file has 31380"),
        (0, lambda whole: b"\x89PNG" + whole, "expected to begin with 00 00 08 03 (unsigned bytes in 3 dimensions)"),
        (2, lambda whole: idx_bytes(np.zeros(20)), "got 00 00 08 01"),
        (2, lambda whole: idx_bytes(np.zeros((20, 5, 5))), "training images are 28×28, its test images 5×5"),
        (1, lambda whole: idx_bytes(np.zeros(39)), "has 39 labels, but train-images-idx3-ubyte beside it has 40"),
        (3, lambda whole: idx_bytes(np.full(20, 12)), "holds the label 12, expected 0 to 9"),
    ],
)
def test_a_wrong_idx_file_is_named_in_one_line(file, content, words, tmp_path):
    raw = write_idx(tmp_path)
    path = raw / IDX_NAMES[file]
    path.write_bytes(content(path.read_bytes()))
    line = refusal(sources.mnist, str(tmp_path))
    assert words in line and str(raw) in line
