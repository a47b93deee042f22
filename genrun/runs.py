"""The run folder: what a run is called, who holds it, how far it came, and how its files reach the disk.

Knows neither Lightning nor torch, so that a finished run is recognised and printed without importing them.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from omegaconf import DictConfig, OmegaConf

from genrun.errors import Failed, Refused
from genrun.locks import hold

FORMAT = 1  # of the run folder
RECIPE_VERSION = 1  # raised when the same configuration would come to train differently
# An option added later stands here with the value that keeps the behaviour of before: with that value it is left out of the
# identity, so that runs made before it keep their ids. Dotted path of the identity -> value.
NEUTRAL: dict[str, Any] = {"model.refine_pixels": 16, "compile": False, "memory_format": "contiguous"}
# An option that took another's place stands here with the value that does the same, and the other with its own: they name the same runs.
REPLACED: dict[str, tuple[Any, str, Any]] = {
    "model.prior": (
        {
            "_target_": "genrun.maths.mixtures.ClassMixture",
            "_partial_": True,
            "components": 1,
            "covariance": "full",
            "covariance_scale": 1.0,
            "reg_covar": 0.0001,
            "relative": True,
        },
        "components",
        1,
    )
}

# Keys that do not decide the result: where things are, how they are loaded, what they are called.
_NOT_DATA = {"name", "facts", "seed", "workers", "memory_limit"}
_NOT_SOURCE = {"root", "path"}  # the checksum says what was there
_NOT_IMAGES = {"batch_size", "passes"}


# ---------------------------------------------------------------------------------------------------------------- files


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[IO[bytes]]:
    """Open `path` for writing such that it appears whole or not at all: temporary file, fsync, rename, fsync of the folder."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # two processes may write the same file of a cache
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a whole file or none; its folder must exist."""
    with atomic(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, content: Any) -> None:
    write_atomic(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


# ------------------------------------------------------------------------------------------------------------- identity


def plain(node: Any) -> Any:
    """Interpolations resolved, containers of Python only."""
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def digest(content: Any, length: int = 8) -> str:
    """The first characters of sha256 over the canonical JSON of plain containers."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:length]


def identity(cfg: DictConfig) -> dict[str, Any]:
    """Everything that decides the result, and nothing that does not (device, loggers, paths, figures).

    Raises:
        omegaconf.errors.MissingMandatoryValue: the facts of the data are not in `cfg.data.facts` yet.
    """
    data = data_identity(cfg)
    if cfg.data.seed != cfg.seed:  # it follows the run's seed unless it is set by hand
        data["source"]["seed"] = cfg.data.seed
    result = {
        "model": {key: value for key, value in plain(cfg.model).items() if key != "name"},
        "data": data,
        "checksum": cfg.data.facts.checksum,
        "trainer": plain(cfg.trainer),
        "callbacks": plain(cfg.callbacks.training),
        "precision": str(cfg.hardware.precision),
        "compile": bool(cfg.hardware.get("compile", False)),  # fused operations round otherwise
        "memory_format": str(cfg.hardware.get("memory_format", "contiguous")),  # other kernels round otherwise
        "init_from": weights_digest(cfg.run.init_from),
        "seed": cfg.seed,
        "recipe_version": RECIPE_VERSION,
    }
    for path, value in NEUTRAL.items():
        node, last = parent_of(path, result)
        if last in node and node[last] == value:
            del node[last]
    for path, (value, before, was) in REPLACED.items():
        node, last = parent_of(path, result)
        if node.get(last) == value:
            del node[last]
            node[before] = was
    return result


def parent_of(path: str, node: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Where a dotted path leads but for its last key, and that key."""
    *parents, last = path.split(".")
    for parent in parents:
        node = node.get(parent, {})
    return node, last


def data_identity(cfg: DictConfig) -> dict[str, Any]:
    """What is read of the data, and how; not where it lies, nor what it is called."""
    data = plain(cfg.data)
    source = {key: value for key, value in data["source"].items() if key not in _NOT_SOURCE}
    return {key: value for key, value in data.items() if key not in _NOT_DATA} | {"source": source}


def images_key(cfg: DictConfig) -> str:
    """Names the images of all splits: equal where the same images are read, whatever they are served in."""
    data = {key: value for key, value in data_identity(cfg).items() if key not in _NOT_IMAGES}
    return digest([data, plain(cfg.data.facts)], 16)


def weights_digest(run: str | None) -> str | None:
    """Which weights a run starts from: their content, not where they lie."""
    if run is None:
        return None
    weights = Path(run) / "model.safetensors"
    if not weights.is_file():
        raise Refused(f"run.init_from={run}: expected the folder of a run with model.safetensors, found none there")
    with open(weights, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def differing(one: Any, other: Any, prefix: str = "") -> list[str]:
    """The dotted keys in which two nested dictionaries differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted(one.keys() | other.keys())
        return [path for key in keys for path in differing(one.get(key), other.get(key), f"{prefix}{key}.")]
    return [] if one == other else [prefix.rstrip(".")]


# --------------------------------------------------------------------------------------------------------- the run folder


class RunFolder:
    """`outputs/<model>-<data>/<id>/`: one run, and the record of how far it came."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.samples = path / "samples"
        self.figures = path / "figures"
        self.last = self.checkpoints / "last.ckpt"
        self.best = self.checkpoints / "best.ckpt"
        self.weights = path / "model.safetensors"

    @classmethod
    def of(cls, cfg: DictConfig) -> RunFolder:
        """The folder that this configuration names.

        Raises:
            Refused: `run.name` names a folder that holds a run of another identity.
        """
        who = identity(cfg)
        folder = cls(Path(cfg.paths.outputs) / f"{cfg.model.name}-{cfg.data.name}" / (cfg.run.name or digest(who)))
        saved = folder.path / "config.yaml"
        if cfg.run.name and saved.is_file() and cfg.run.resume != "never":
            keys = differing(identity(OmegaConf.load(saved)), who)
            if keys:
                raise Refused(
                    f"run.name={cfg.run.name}: {folder.path} holds a run that differs in {', '.join(keys)}; "
                    "choose another run.name, or run.resume=never to move the old run aside"
                )
        return folder

    # -- status

    def status(self) -> dict[str, Any]:
        """The record of status.json; a run that was never started has state `new`."""
        try:
            return json.loads((self.path / "status.json").read_text())
        except (FileNotFoundError, NotADirectoryError):
            return {"format": FORMAT, "state": "new", "stages": {}, "attempts": []}
        except json.JSONDecodeError as error:
            raise Refused(
                f"{self.path / 'status.json'} is not the record of a run ({error}); run.resume=never starts over"
            ) from None

    def record(self, **changes: Any) -> None:
        """Change entries of status.json."""
        write_json(self.path / "status.json", self.status() | changes)

    def record_attempt(self, **changes: Any) -> None:
        """Change entries of the last attempt in status.json."""
        attempts = self.status()["attempts"]
        attempts[-1] |= changes
        self.record(attempts=attempts)

    def begin_attempt(self) -> None:
        attempts = self.status()["attempts"]
        for earlier in attempts:
            if earlier["state"] == "running":  # it was killed: the lock was free
                earlier["state"] = "interrupted"
        attempts.append({"started": now(), "pid": os.getpid(), "host": socket.gethostname(), "state": "running"})
        self.record(state="running", error=None, error_kind=None, attempts=attempts)

    def end_attempt(self, state: str, error: str | None = None, kind: str | None = None) -> None:
        self.record_attempt(state=state, ended=now(), **({"error": error} if error else {}))
        self.record(state=state, error=error, error_kind=kind)

    def stage_done(self, name: str, key: str) -> bool:
        """Whether the stage ran with these inputs and left the files that it says it left."""
        stage = self.status()["stages"].get(name)
        return bool(stage) and stage["key"] == key and all((self.path / file).is_file() for file in stage["outputs"])

    def run_stage(self, name: str, key: str, work: Callable[[], list[Path]], *, again: bool = False) -> None:
        """Do the work of a stage unless it is recorded as done, or in any case when `again`, and record it."""
        if self.stage_done(name, key) and not again:
            return
        started = time.monotonic()
        stages = self.status()["stages"]
        before = list(stages)[: list(stages).index(name)] if name in stages else list(stages)
        kept = {one: stages[one] for one in before}
        self.record(stage=name, stages=kept)  # later ones are stale now, and this one until it is done
        outputs = [str(path.relative_to(self.path)) for path in work()]
        stage = {"key": key, "ended": now(), "seconds": round(time.monotonic() - started, 2), "outputs": outputs}
        self.record(stages=kept | {name: stage})

    def finished(self, keys: dict[str, str]) -> bool:
        """Whether every recorded stage ran with the inputs of `keys` (stage → key, in their order), the last among them."""
        status, last = self.status(), list(keys)[-1]
        return (
            status["state"] == "done"
            and last in status["stages"]
            and all(self.stage_done(name, keys.get(name, "")) for name in status["stages"])
        )

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.csv, numbers as numbers; an empty field is left out of its row."""
        with open(self.path / "metrics.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        return [
            {key: int(value) if key in ("epoch", "step") else float(value) for key, value in row.items() if value}
            for row in rows
        ]

    def keep_checkpoints(self, which: str) -> None:
        """Delete the checkpoints of a finished run that are not to be kept: all but `last`, `best`, `none`, or nothing of `all`.

        Of a run that has no best.ckpt, for nothing was held out to score it by, last.ckpt takes its place.
        """
        if which == "best" and not self.best.is_file():
            which = "last"
        unwanted = {"all": [], "last": [self.best], "best": [self.last], "none": [self.best, self.last]}[which]
        for checkpoint in unwanted:
            checkpoint.unlink(missing_ok=True)

    # -- lock

    @contextlib.contextmanager
    def lock(self, *, wait: float = 0) -> Iterator[None]:
        """Hold the folder for the life of this process; make it when there is none.

        Args:
            wait: seconds that another process is given to let go.

        Raises:
            Refused: it cannot be written, another process holds it (Busy), or the file system cannot lock.
            Failed: what is done meanwhile meets an error of the file system.
        """
        try:
            for folder in (self.path, self.checkpoints, self.samples, self.figures):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Refused(
                f"cannot write the run folder {self.path}: {error.strerror}; choose another with paths.outputs=…"
            ) from None
        with hold(self.path, "choose another run.name or paths.outputs", wait=wait):
            try:
                for left in self.path.rglob(".*.tmp"):  # of a write that was killed
                    left.unlink()
                yield
            except OSError as error:
                raise Failed(
                    f"{error.filename or self.path}: {error.strerror or error}; what was written before is whole, "
                    "and the same command goes on from there"
                ) from error

    def move_aside(self) -> Path:
        """Rename the folder to `<id>.old-N`, the first N that is free; nothing is deleted."""
        n = 1
        while (old := self.path.with_name(f"{self.path.name}.old-{n}")).exists():
            n += 1
        os.rename(self.path, old)
        return old
