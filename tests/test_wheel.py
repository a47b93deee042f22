"""A wheel built from the project runs `genrun` from an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

from conftest import ROOT, TINY


def test_a_wheel_runs_from_an_empty_folder(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    # an environment of its own over the libraries of this one, in which the project is not installed
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    site = next((tmp_path / "venv" / "lib").glob("python*")) / "site-packages"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--no-deps", "--quiet", "--target", str(site), str(wheel)], check=True
    )
    libraries = [path for path in sys.path if path.endswith("site-packages")]
    (site / "libraries.pth").write_text("\n".join(libraries) + "\n")
    empty = tmp_path / "empty"
    empty.mkdir()
    script = "import genrun, sys; print(genrun.__file__)"
    where = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True, cwd=empty).stdout
    assert Path(where.strip()).is_relative_to(site)  # not the checkout
    done = subprocess.run(
        [python, "-m", "genrun", *TINY], capture_output=True, text=True, check=False, cwd=empty, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    folder = next((empty / "outputs" / "csgm-digits").iterdir())
    assert (folder / "samples" / "final.png").is_file()
    verb = [python, "-m", "genrun", "sample", str(folder), "--n", "4", "--out", "more.png"]
    done = subprocess.run(verb, capture_output=True, text=True, check=False, cwd=empty, env=os.environ)
    assert done.returncode == 0 and (empty / "more.png").is_file(), done.stderr
