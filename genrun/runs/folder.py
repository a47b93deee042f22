"""The folder of a run: the paths of its files, the record of its progress, and its lock.

This module imports neither Lightning nor torch, so that a finished run is found and printed without them.
"""

from __future__ import annotations

import contextlib
import csv
import json
import logging
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

FORMAT = 1  # version of the run folder's layout
log = logging.getLogger("genrun")


class PhaseFiles(NamedTuple):
    """The files of one phase of a training."""

    last: Path  # checkpoint from which an interrupted training resumes
    best: Path  # checkpoint of the epoch with the best score
    weights: Path  # trained weights, with which the next phase or the next stage begins


class RunFolder:
    """The folder of one run, `outputs/<model>-<data>/<id>/`, with the record of its progress."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.samples = path / "samples"
        self.figures = path / "figures"
        self.last = self.checkpoints / "last.ckpt"
        self.best = self.checkpoints / "best.ckpt"
        self.weights = path / "model.safetensors"

    def phase(self, phase: Phase) -> PhaseFiles:
        """Return the paths of the checkpoints and the weights of a phase of the training."""
        if not phase.name:
            return PhaseFiles(self.last, self.best, self.weights)
        folder = self.checkpoints / phase.name
        weights = self.weights if phase.is_last else folder / "weights.safetensors"
        return PhaseFiles(folder / "last.ckpt", folder / "best.ckpt", weights)

    def has_checkpoint(self) -> bool:
        """Return whether a phase of the training has a `last.ckpt` to resume from."""
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
        """Return the content of status.json; a run that was never started has the state `new`.

        Raises:
            Refused: status.json is damaged.
        """
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
        """Record a new attempt by this process.

        An earlier attempt that is still recorded as `running` was killed, because the lock was free: record it as interrupted.
        """
        attempts = self.status()["attempts"]
        for earlier in attempts:
            if earlier["state"] == "running":
                earlier["state"] = "interrupted"
        attempts.append({"started": now(), "pid": os.getpid(), "host": socket.gethostname(), "state": "running"})
        self.record(state="running", error=None, error_kind=None, attempts=attempts)

    def end_attempt(self, state: str, error: str | None = None, kind: str | None = None) -> None:
        """Record how the attempt ended.

        Args:
            state: `done`, `interrupted` or `failed`.
            error: the error in words.
            kind: the name of the error's class.
        """
        self.record_attempt(state=state, ended=now(), **({"error": error} if error else {}))
        self.record(state=state, error=error, error_kind=kind)

    def stage_done(self, name: str, key: str) -> bool:
        """Return whether the stage is recorded with this key (the hash of its inputs) and all its recorded files exist."""
        stage = self.status()["stages"].get(name)
        return bool(stage) and stage["key"] == key and all((self.path / file).is_file() for file in stage["outputs"])

    def run_stage(self, name: str, key: str, work: Callable[[], list[Path]], *, again: bool = False) -> None:
        """Run a stage if it is not done yet, and record it with the files that `work` returns.

        Args:
            key: the hash of the stage's inputs.
            work: does the stage and returns the files that it wrote.
            again: run the stage even if it is done.
        """
        if self.stage_done(name, key) and not again:
            log.info("%s: done before", name)
            return
        log.info("%s: begins", name)
        started = time.monotonic()
        stages = self.status()["stages"]
        before = list(stages)[: list(stages).index(name)] if name in stages else list(stages)
        kept = {one: stages[one] for one in before}
        self.record(stage=name, stages=kept)  # this stage and later ones are out of date now
        outputs = [str(path.relative_to(self.path)) for path in work()]
        stage = {"key": key, "ended": now(), "seconds": round(time.monotonic() - started, 2), "outputs": outputs}
        self.record(stages=kept | {name: stage})
        log.info("%s: done in %.1f s", name, stage["seconds"])

    def finished(self, keys: dict[str, str]) -> bool:
        """Return whether the run is done and all its recorded stages, including the last one, match these keys.

        Args:
            keys: stage → hash of its inputs, in the order of the stages.
        """
        status, last = self.status(), list(keys)[-1]
        return (
            status["state"] == "done"
            and last in status["stages"]
            and all(self.stage_done(name, keys.get(name, "")) for name in status["stages"])
        )

    def metrics(self) -> list[dict[str, Any]]:
        """Return the rows of metrics.csv with numbers as numbers; a row does not contain its empty columns."""
        return [{key: _parsed(key, text) for key, text in row.items() if text} for row in self.metric_texts()]

    def metric_texts(self, phases: Iterable[Phase] | None = None) -> list[dict[str, str]]:
        """Return the rows of metrics.csv as text; an empty list if there is no file.

        Args:
            phases: return the rows of these phases only; None: return all rows.
        """
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
        """Delete the checkpoints of a finished run except those to keep.

        Args:
            which: the checkpoints to keep: `all`, `last`, `best` or `none`. `best` keeps last.ckpt in a phase that has no
                best.ckpt because no images were held out to score it.
        """
        for folder in {file.parent for file in self.checkpoints.rglob("*.ckpt")}:
            last, best = folder / "last.ckpt", folder / "best.ckpt"
            keeps_last = which in ("all", "last") or (which == "best" and not best.is_file())
            keeps_best = which in ("all", "best")
            if not keeps_last:
                last.unlink(missing_ok=True)
            if not keeps_best:
                best.unlink(missing_ok=True)

    # -- lock

    @contextlib.contextmanager
    def lock(self, *, wait: float = 0) -> Iterator[None]:
        """Lock the folder while the context lasts; make the folder if it does not exist.

        Args:
            wait: seconds to wait for another process that holds the lock.

        Raises:
            Busy: another process holds the lock.
            Refused: the folder cannot be written, or the file system cannot lock.
            Failed: the file system raised an error while the lock was held.
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
                for left in self.path.rglob(".*.tmp"):  # temporary files of a write that was killed
                    left.unlink()
                yield
            except OSError as error:
                raise Failed(
                    f"{error.filename or self.path}: {error.strerror or error}; files written before are complete, "
                    "and the same command goes on from there"
                ) from error

    def move_aside(self) -> Path:
        """Rename the folder to `<id>.old-N` with the first free N, delete nothing, and return the new path."""
        n = 1
        while (old := self.path.with_name(f"{self.path.name}.old-{n}")).exists():
            n += 1
        os.rename(self.path, old)
        return old


def _parsed(column: str, text: str) -> int | float | str:
    """Convert a field of metrics.csv to the type of its column."""
    if column == "phase":
        return text
    return int(text) if column in ("epoch", "step") else float(text)
