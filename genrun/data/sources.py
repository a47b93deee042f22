"""Read the data sets that fit in memory: MNIST, Fashion-MNIST, CIFAR-10, scikit-learn's digits and its Swiss roll.

Folders of images are in folders.py, arrays in arrays.py. Every function returns a `Source` or refuses in one line.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torchvision import datasets
from torchvision.datasets.mnist import read_image_file, read_label_file
from torchvision.datasets.utils import check_integrity

from genrun.data.download import explain_errors, fetch
from genrun.data.idx import check_idx_pair, check_sha256
from genrun.data.images import SPLIT_SEED, Source, Stored, checksum_of, checksum_of_images, sha256_of_file
from genrun.errors import Refused

DIGITS_TEST = 360  # test images, of 1,797


def mnist(root: str, sha256: Mapping[str, str] | None = None) -> Source:
    """Read MNIST: 60,000 + 10,000 handwritten digits of 28×28, grey.

    Args:
        root: the folder of all data sets; the idx files are in `<root>/MNIST/raw`, and are downloaded if missing.
        sha256: sha256 of the official files, by name; None accepts any files of this layout.

    References:
        LeCun, Bottou, Bengio, Haffner, Gradient-based learning applied to document recognition, 1998.
    """
    return _idx_source(datasets.MNIST, root, sha256, class_names=tuple("0123456789"))


def fashion_mnist(root: str, sha256: Mapping[str, str] | None = None, md5: Mapping[str, str] | None = None) -> Source:
    """Read Fashion-MNIST: 60,000 + 10,000 articles of clothing of 28×28, grey.

    Args:
        root: the folder of all data sets; the idx files are in `<root>/FashionMNIST/raw`, and are downloaded if missing.
        sha256, md5: digests of the files, by name; a file that matches either is accepted. `sha256=None` accepts any
            files of this layout.

    References:
        Xiao, Rasul, Vollgraf, Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms, 2017.
    """
    return _idx_source(datasets.FashionMNIST, root, sha256, tuple(datasets.FashionMNIST.classes), md5)


def _idx_source(
    dataset: type[datasets.MNIST],
    root: str,
    sha256: Mapping[str, str] | None,
    class_names: tuple[str, ...],
    md5: Mapping[str, str] | None = None,
) -> Source:
    name, home = dataset.__name__, Path(root).expanduser()
    raw = home / name / "raw"
    names = [archive.removesuffix(".gz") for archive, _ in dataset.resources]
    missing = [file for file in names if not (raw / file).is_file()]
    if missing:
        with explain_errors(name, raw, missing):
            fetch(dataset, home, [f"{name}/raw/{file}" for file in missing], [f"{name}/raw/{n}.gz" for n in names])

    shapes = [
        check_idx_pair(raw / f"{split}-images-idx3-ubyte", raw / f"{split}-labels-idx1-ubyte", len(class_names))
        for split in ("train", "t10k")
    ]
    if shapes[0][1:] != shapes[1][1:]:
        raise Refused(
            f"{raw} mixes two data sets: its training images are {shapes[0][1]}×{shapes[0][2]}, "
            f"its test images {shapes[1][1]}×{shapes[1][2]}; expected one size"
        )
    digests = {file: check_sha256(raw / file, (sha256 or {}).get(file), (md5 or {}).get(file)) for file in names}

    splits = [
        Stored(
            array=read_image_file(str(raw / f"{split}-images-idx3-ubyte")).unsqueeze(1),  # (N, 1, H, W)
            labels=read_label_file(str(raw / f"{split}-labels-idx1-ubyte")),
        )
        for split in ("train", "t10k")
    ]
    return Source(*splits, class_names, checksum_of(digests), [raw / file for file in names])


def cifar10(root: str) -> Source:
    """Read CIFAR-10 from `<root>/cifar-10-batches-py`: 50,000 + 10,000 colour images of 32×32, in ten classes.

    References:
        Krizhevsky, Learning multiple layers of features from tiny images, 2009.
    """
    dataset, home = datasets.CIFAR10, Path(root).expanduser()
    folder = home / dataset.base_folder
    official = dict([*dataset.train_list, *dataset.test_list, (dataset.meta["filename"], dataset.meta["md5"])])
    wrong = [file for file, md5 in official.items() if not check_integrity(folder / file, md5)]
    if wrong:
        with explain_errors("CIFAR-10", folder, wrong):
            fetch(dataset, home, [f"{dataset.base_folder}/{file}" for file in wrong], [dataset.filename])

    splits, class_names = [], ()
    for train in (True, False):
        read = dataset(str(home), train=train)
        array = torch.from_numpy(np.ascontiguousarray(read.data.transpose(0, 3, 1, 2)))  # (N, H, W, 3) → (N, 3, H, W)
        splits.append(Stored(array=array, labels=torch.tensor(read.targets)))
        class_names = tuple(read.classes)
    digests = {file: sha256_of_file(folder / file) for file in official}
    return Source(*splits, class_names, checksum_of(digests), [folder / file for file in official])


def digits() -> Source:
    """Read scikit-learn's handwritten digits: 1,437 + 360 of 8×8, grey. They come with the package, without a download.

    The values v = 0 … 16 become round(v · 255 / 16). The split is fixed and stratified by class.

    References:
        Alpaydin, Kaynak, Optical recognition of handwritten digits, UCI machine learning repository, 1998.
    """
    # as sklearn.datasets.load_digits reads it, without the import, which takes half a second
    file = Path(find_spec("sklearn").origin).parent / "datasets" / "data" / "digits.csv.gz"
    read = np.loadtxt(file, delimiter=",")  # (1797, 65): 64 pixels, the digit
    array = torch.from_numpy(np.round(read[:, :-1] * (255 / 16)).astype(np.uint8)).view(-1, 1, 8, 8)
    labels = torch.from_numpy(read[:, -1].astype(np.int64))
    whole = Stored(array=array, labels=labels)
    order = _stratified(labels.numpy())
    test, train = order[:DIGITS_TEST].sort().values, order[DIGITS_TEST:].sort().values
    splits = whole.take(train), whole.take(test)
    return Source(*splits, tuple("0123456789"), checksum_of_images(*splits), [file])


def swiss_roll(points: int = 20_000, noise: float = 0.3) -> Source:
    """Draw points of scikit-learn's Swiss roll, as images of one pixel with three channels; a sixth of them again for the test.

    The coordinates a become v = (a - centre) / 30 + 1/2, with the centres 2, 10.5 and 2, and then round(255 v): a level is 0.12 wide.

    Args:
        points: number of training points.
        noise: standard deviation of Gaussian noise in each coordinate.

    References:
        Marsland, Machine learning: an algorithmic perspective, 2nd edition, 2014, chapter 6.
    """
    from sklearn.datasets import make_swiss_roll

    if points < 12 or noise < 0:
        raise Refused(f"data.source: expected at least 12 points and noise of at least 0, got {points} and {noise}")
    read, _ = make_swiss_roll(points + points // 6, noise=noise, random_state=SPLIT_SEED)
    v = (read - np.array([2, 10.5, 2])) / 30 + 0.5
    array = torch.from_numpy(np.round(255 * v.clip(0, 1)).astype(np.uint8))[:, :, None, None]  # (N, 3, 1, 1)
    whole = Stored(array=array, labels=torch.full((len(array),), -1))
    splits = whole.take(torch.arange(points)), whole.take(torch.arange(points, len(array)))
    return Source(*splits, (), checksum_of_images(*splits), [])


def _stratified(labels: np.ndarray) -> torch.Tensor:
    """Return a fixed order (N,) in which the first n, for any n, hold the classes in the same shares as the whole."""
    random = np.random.RandomState(SPLIT_SEED)
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return torch.from_numpy(np.argsort(place, kind="stable"))
