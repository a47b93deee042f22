"""The folder of a run: the paths of its files, the record of its progress, and its lock.

This module imports neither Lightning nor torch, so that a finished run is found and printed without them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig

from genrun.config.schema import check_name
from genrun.errors import Failed, Refused
from genrun.runs.identity import differing_options, digest, identity
from genrun.runs.records import PROVENANCE, RESULTS, STATUS, parsed, read_config, read_csv, read_json
from genrun.system.files import now, write_json
from genrun.system.locks import hold
from genrun.types import Phase

FORMAT = 1  # version of the run folder's layout
# version of the table of metrics: raise it when a row of the same samples would have another value (see genrun.stages.keys.EARLIER);
# rows that are added change no others: tables with and without them are of one version, and finished runs keep theirs. Nor has one note:
# since real images have a deviation, a distance that is as that of real images is said to be no further off than they are, where it was
# "as far as real images blurred by …" before; the values are the same
TABLE = 3
log = logging.getLogger("genrun")
FILES = {".json", ".yaml", ".txt", ".csv", ".md", ".npz", ".png", ".gif", ".ckpt", ".safetensors", ".patch"}


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
            Refused: a name is no name of a folder, or `run.name` names a folder that holds a run of another identity.
        """
        for part in ("model", "data"):
            check_name(f"{part}.name", cfg[part].name)
        check_name("run.name", cfg.run.name)
        who = identity(cfg)
        folder = cls(Path(cfg.paths.outputs) / f"{cfg.model.name}-{cfg.data.name}" / (cfg.run.name or digest(who)))
        if cfg.run.name and (folder.path / "config.yaml").is_file() and cfg.run.resume != "never":
            keys = differing_options(read_config(folder.path), cfg)
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
            return read_json(self.path / "status.json", STATUS, "run.resume=never starts over")
        except FileNotFoundError:
            return {"format": FORMAT, "state": "new", "stages": {}, "attempts": []}

    def results(self) -> dict[str, Any]:
        """Return the content of results.json.

        Raises:
            Refused: it is missing or damaged.
        """
        file, advice = self.path / "results.json", f"genrun evaluate {self.path} makes it again"
        try:
            return read_json(file, RESULTS, advice)
        except FileNotFoundError:
            raise Refused(f"{file} is missing; {advice}") from None

    def provenance(self) -> dict[str, Any]:
        """Return the content of provenance.json; empty if there is none, as in a dry run.

        Raises:
            Refused: it is damaged.
        """
        try:
            return read_json(self.path / "provenance.json", PROVENANCE, "move it away, and a new one is written")
        except FileNotFoundError:
            return {}

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
        """Return whether the stage is recorded with this key (the hash of its inputs) and all its recorded files exist.

        A table of results or metrics that is damaged counts as missing: the stage makes it again.
        """
        stage = self.status()["stages"].get(name)
        if not stage or stage["key"] != key:
            return False
        readers = {"results.json": self.results, "metrics.csv": self.metrics}
        try:
            for file in stage["outputs"]:
                if not (self.path / file).is_file():
                    return False
                readers.get(file, lambda: None)()
        except (OSError, ValueError, Refused):  # OSError and ValueError: no system has a file of such a name
            return False
        return True

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
        return [{key: parsed(key, text) for key, text in row.items() if text} for row in self.metric_texts()]

    def metric_texts(self, phases: Iterable[Phase] | None = None) -> list[dict[str, str]]:
        """Return the rows of metrics.csv as text; an empty list if there is no file.

        Args:
            phases: return the rows of these phases only; None: return all rows.
        """
        names = None if phases is None else {phase.name for phase in phases}
        if names == set():  # a first phase does not read the table that it writes, which may be damaged
            return []
        try:
            rows = read_csv(self.path / "metrics.csv")
        except FileNotFoundError:
            return []
        if names is None:
            return rows
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
            Refused: the folder cannot be written, has a link where genrun writes, or the file system cannot lock.
            Failed: the file system raised an error while the lock was held.
        """
        try:
            for folder in (self.path, self.checkpoints, self.samples, self.figures):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Refused(
                f"cannot write the run folder {self.path}: {error.strerror}; choose another with paths.outputs=…"
            ) from None
        self._check_places()
        with hold(self.path, "choose another run.name or paths.outputs", wait=wait):
            try:
                for left in self.path.rglob(".*.tmp"):  # temporary files of a write that was killed
                    if left.is_file():
                        left.unlink()
                yield
            except OSError as error:
                raise Failed(
                    f"{error.filename or self.path}: {error.strerror or error}; files written before are complete, "
                    "and the same command goes on from there"
                ) from error

    def _check_places(self) -> None:
        """Check that what genrun writes here stays in this folder. A file is replaced, so a link is no danger; but the files in a linked
        folder are elsewhere, and log.txt is written at its end.

        Raises:
            Refused: a folder or log.txt is a link, or there is a folder where a file belongs.
        """
        inside = [self.samples, self.figures, self.checkpoints]
        for path in (*self.path.iterdir(), *(path for folder in inside for path in folder.rglob("*"))):
            if path.is_symlink() and (path.is_dir() or path.name == "log.txt"):
                raise Refused(
                    f"{path} is a link: genrun writes only inside the run folder; put a folder or file in its place"
                )
            if (path.is_dir() and path.suffix in FILES) or (path.name == "log.txt" and not path.is_file()):
                raise Refused(f"{path}: expected a file, found a folder, pipe or device; move it away")

    def move_aside(self) -> Path:
        """Rename the folder to `<id>.old-N` with the first free N, delete nothing, and return the new path."""
        n = 1
        while (old := self.path.with_name(f"{self.path.name}.old-{n}")).exists():
            n += 1
        os.rename(self.path, old)
        return old
