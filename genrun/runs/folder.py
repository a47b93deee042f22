"""The folder of a run: where its files lie, how far the run came, and who holds it.

Knows neither Lightning nor torch, so a finished run is found and printed without importing them.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from genrun.errors import Failed, Refused
from genrun.runs.identity import differing_options, digest, identity
from genrun.system.files import now, write_json
from genrun.system.locks import hold
from genrun.types import Phase

FORMAT = 1  # of the run folder


class PhaseFiles(NamedTuple):
    """The files of one phase of a training."""

    last: Path  # checkpoint to go on from
    best: Path  # checkpoint of the epoch with the best score
    weights: Path  # what the next phase, or the next stage, begins with


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

    def phase(self, phase: Phase) -> PhaseFiles:
        """Return where a phase of the training keeps its checkpoints and leaves its weights."""
        if not phase.name:
            return PhaseFiles(self.last, self.best, self.weights)
        folder = self.checkpoints / phase.name
        weights = self.weights if phase.is_last else folder / "weights.safetensors"
        return PhaseFiles(folder / "last.ckpt", folder / "best.ckpt", weights)

    def has_checkpoint(self) -> bool:
        """Whether there is a `last.ckpt`, of any phase, to go on from."""
        return any(self.checkpoints.rglob("last.ckpt"))

    @classmethod
    def of(cls, cfg: DictConfig) -> RunFolder:
        """Return the folder that this configuration names.

        Raises:
            Refused: `run.name` names a folder that holds a run of another identity.
        """
        who = identity(cfg)
        folder = cls(Path(cfg.paths.outputs) / f"{cfg.model.name}-{cfg.data.name}" / (cfg.run.name or digest(who)))
        saved = folder.path / "config.yaml"
        if cfg.run.name and saved.is_file() and cfg.run.resume != "never":
            keys = differing_options(OmegaConf.load(saved), cfg)
            if keys:
                raise Refused(
                    f"run.name={cfg.run.name}: {folder.path} holds a run that differs in {', '.join(keys)}; "
                    "choose another run.name, or run.resume=never to move the old run aside"
                )
        return folder

    # -- status

    def status(self) -> dict[str, Any]:
        """Return the record of status.json; a run that was never started has the state `new`."""
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
        """Record that this process is at work on the run; an attempt still `running` was killed, because the lock was free."""
        attempts = self.status()["attempts"]
        for earlier in attempts:
            if earlier["state"] == "running":
                earlier["state"] = "interrupted"
        attempts.append({"started": now(), "pid": os.getpid(), "host": socket.gethostname(), "state": "running"})
        self.record(state="running", error=None, error_kind=None, attempts=attempts)

    def end_attempt(self, state: str, error: str | None = None, kind: str | None = None) -> None:
        """Record how the attempt ended: `done`, `interrupted` or `failed`, the error in words and the name of its class."""
        self.record_attempt(state=state, ended=now(), **({"error": error} if error else {}))
        self.record(state=state, error=error, error_kind=kind)

    def stage_done(self, name: str, key: str) -> bool:
        """Whether the stage ran with these inputs and left the files that it says it left."""
        stage = self.status()["stages"].get(name)
        return bool(stage) and stage["key"] == key and all((self.path / file).is_file() for file in stage["outputs"])

    def run_stage(self, name: str, key: str, work: Callable[[], list[Path]], *, again: bool = False) -> None:
        """Do the work of a stage, unless it is recorded as done and not `again`, and record it with the files that the work returns."""
        if self.stage_done(name, key) and not again:
            return
        started = time.monotonic()
        stages = self.status()["stages"]
        before = list(stages)[: list(stages).index(name)] if name in stages else list(stages)
        kept = {one: stages[one] for one in before}
        self.record(stage=name, stages=kept)  # later stages are out of date now
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
        """Return the rows of metrics.csv, numbers as numbers; a row lacks the columns that are empty in it."""
        return [{key: _parsed(key, text) for key, text in row.items() if text} for row in self.metric_texts()]

    def metric_texts(self, phases: Iterable[Phase] | None = None) -> list[dict[str, str]]:
        """Return the rows of metrics.csv as they are written, of these phases only where some are given; [] without the file."""
        file = self.path / "metrics.csv"
        if not file.is_file():
            return []
        with open(file, newline="") as opened:
            rows = list(csv.DictReader(opened))
        if phases is None:
            return rows
        names = {phase.name for phase in phases}
        return [row for row in rows if row.get("phase", "") in names]

    def keep_checkpoints(self, which: str) -> None:
        """Delete the checkpoints of a finished run, but for those to keep: `all`, `last`, `best` or `none`.

        In a phase without a best.ckpt, because nothing was held out to score it by, `best` keeps last.ckpt.
        """
        for folder in {file.parent for file in self.checkpoints.rglob("*.ckpt")}:
            last, best = folder / "last.ckpt", folder / "best.ckpt"
            kept = {"all": {last, best}, "last": {last}, "best": {best if best.is_file() else last}, "none": set()}[
                which
            ]
            for checkpoint in {last, best} - kept:
                checkpoint.unlink(missing_ok=True)

    # -- lock

    @contextlib.contextmanager
    def lock(self, *, wait: float = 0) -> Iterator[None]:
        """Hold the folder while the context lasts, and make it when there is none.

        Args:
            wait: seconds to wait for another process that holds it.

        Raises:
            Busy: another process holds it.
            Refused: it cannot be written, or the file system cannot lock.
            Failed: an error of the file system came up while it was held.
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


def _parsed(column: str, text: str) -> int | float | str:
    """Return a field of metrics.csv as what its column holds."""
    if column == "phase":
        return text
    return int(text) if column in ("epoch", "step") else float(text)
