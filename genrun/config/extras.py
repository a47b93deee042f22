"""Name the extra of the package that a missing module belongs to, and the command that installs it.

What only a message needs is imported when it is written, because every command imports this module.
"""

from __future__ import annotations

import re
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]  # in a clone, the folder of pyproject.toml


def to_install(extra: str) -> str:
    """Return the name of an extra, and the command that installs it for the Python that runs genrun.

    The command is right for a wheel and for a clone. Where genrun was never installed, it installs the clone.
    """
    python = shlex.quote(sys.executable)
    pip = f"{python} -m pip install" if find_spec("pip") else f"uv pip install --python {python}"
    what = f"'genrun[{extra}]'" if installed() else f"-e {shlex.quote(f'{ROOT}[{extra}]')}"
    return f"the extra {extra}: {pip} {what}"


def extra_of(module: str) -> str | None:
    """Return the extra that installs a module, such as inception for torch_fidelity.nn; None if there is none."""
    top = module.partition(".")[0].lower().replace("_", "-")
    for extra, packages in extras().items():
        if top in packages:
            return extra
    return None


def extras() -> dict[str, list[str]]:
    """Return the packages of each extra, in lower case and with hyphens."""
    from importlib import metadata

    if installed():
        found: dict[str, list[str]] = {}
        for requirement in metadata.requires("genrun") or []:
            if of_extra := re.search(r"extra == [\"']([^\"']+)", requirement):
                found.setdefault(of_extra[1], []).append(requirement)
    else:
        found = project()["optional-dependencies"]
    return {
        extra: [re.match(r"[\w.-]+", one)[0].lower().replace("_", "-") for one in requirements]
        for extra, requirements in found.items()
    }


def requirements() -> list[str]:
    """Return what genrun needs without any extra, such as `torch>=2.6`."""
    from importlib import metadata

    if installed():
        return [one for one in metadata.requires("genrun") or [] if "extra ==" not in one]
    return project()["dependencies"]


def project() -> dict[str, Any]:
    """Return what a clone's pyproject.toml says of genrun."""
    import tomllib

    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def installed() -> bool:
    """Return whether genrun is installed, from a wheel or from a clone; otherwise it runs from a clone's folder."""
    from importlib import metadata

    try:
        metadata.distribution("genrun")
    except metadata.PackageNotFoundError:
        return False
    return True
