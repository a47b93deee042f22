"""Where known data sets lie."""

from __future__ import annotations

import hashlib

from omegaconf import OmegaConf
from torchvision.datasets import CIFAR10, MNIST, CelebA

from genrun.config.compose import compose, group_choices
from genrun.data.places import CELEBA_FILES, IDX, INCLUDED, PLACES, official, wrong_files


def test_the_files_are_those_that_torchvision_reads():
    assert {f"{name}.gz" for name in IDX} == {archive for archive, _ in MNIST.resources}
    cifar = PLACES["genrun.data.sources.cifar10"]
    assert cifar.folder == CIFAR10.base_folder
    assert set(cifar.files) == {file for file, _ in (*CIFAR10.train_list, *CIFAR10.test_list)} | {
        CIFAR10.meta["filename"]
    }
    assert set(CELEBA_FILES) == {file.removesuffix(".zip") for _, _, file in CelebA.file_list}


def test_every_data_set_has_a_place_comes_with_a_package_or_is_the_users_own():
    for name in group_choices()["data"]:
        source = OmegaConf.to_container(compose([f"data={name}"]).data.source)
        assert source["_target_"] in (*PLACES, *INCLUDED) or "path" in source
        if source["_target_"] in PLACES:
            assert set(official(source)) <= set(PLACES[source["_target_"]].files), name


def test_a_file_is_right_if_any_of_its_checksums_fits(tmp_path):
    for name in ("one", "two", "three"):
        (tmp_path / name).write_bytes(name.encode())
    md5, sha = hashlib.md5(b"one").hexdigest(), hashlib.sha256(b"two").hexdigest()
    known = {"one": [("sha256", "0"), ("md5", md5)], "two": [("sha256", sha)], "three": [("md5", md5)]}
    assert wrong_files(tmp_path, known) == ["three"]
