"""The loggers of a run beside metrics.csv: they also get the sample grids and the results, and none of them can stop the run."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np
from PIL import Image
from pytorch_lightning.loggers import Logger
from rich.console import Console

from genrun.errors import one_line
from genrun.report.groups import without_accents
from genrun.report.tables import HEADINGS, lines, results_markdown
from genrun.system.console import say

CALLED = ("log_metrics", "log_hyperparams", "log_graph", "save", "after_save_checkpoint", "finalize")  # by Lightning


class RunLoggers:
    """The Lightning loggers of a run. One that fails is named in one line and gets nothing more; the run goes on.

    What a logger can show is found by what it has: `log_image` (W&B), an experiment with `add_image` (TensorBoard), or one with
    `log_image` for a `run_id` (MLflow). Any other logger gets numbers only.

    Args:
        loggers: the loggers of the configuration.
        console: where failures are shown.
    """

    def __init__(self, loggers: Sequence[Logger], console: Console) -> None:
        self.loggers = list(loggers)
        self.console = console
        self.started = False
        for logger in self.loggers:
            for name in CALLED:
                setattr(logger, name, self._harmless(logger, getattr(logger, name)))

    def start(self) -> list[Logger]:
        """Let every logger begin, and return those that could."""
        self.started = True
        self._each(lambda logger: logger.experiment)
        return list(self.loggers)

    def picture(self, name: str, png: bytes, step: int) -> None:
        """Log a picture.

        Args:
            png: its file.
            step: of the training.
        """
        if not self.loggers:
            return
        with Image.open(io.BytesIO(png)) as opened:
            image = opened.convert("RGB")
        pixels = np.asarray(image)  # (H, W, 3) uint8

        def show(logger: Any) -> None:
            experiment = logger.experiment
            if hasattr(logger, "log_image"):
                logger.log_image(key=name, images=[image], step=step)
            elif hasattr(experiment, "add_image"):
                experiment.add_image(name, pixels, step, dataformats="HWC")
            elif hasattr(experiment, "log_image") and hasattr(logger, "run_id"):
                experiment.log_image(logger.run_id, pixels, key=name, step=step)

        self._each(show)

    def results(self, results: dict[str, Any], step: int) -> None:
        """Log the content of results.json: each number as `results/name`, and the table.

        Args:
            step: the last one of the training.
        """
        numbers = {
            f"results/{tag(row['name'])}": float(row["value"])
            for row in results["rows"]
            if isinstance(row["value"], int | float)
        }

        def show(logger: Any) -> None:
            logger.log_metrics(numbers, step)
            experiment = logger.experiment
            if hasattr(logger, "log_table"):
                columns = [
                    heading or name for heading, name in zip(HEADINGS, ("", "", "", "mark", "notes"), strict=True)
                ]
                logger.log_table(key="results/table", columns=columns, data=lines(results["rows"]), step=step)
            elif hasattr(experiment, "add_text"):
                experiment.add_text("results/table", results_markdown(results), step)
            elif hasattr(experiment, "log_text") and hasattr(logger, "run_id"):
                experiment.log_text(logger.run_id, results_markdown(results), "results.md")

        self._each(show)

    def close(self, status: str = "success") -> None:
        """Let every logger that has begun write what it still holds, and end its record of the run.

        Args:
            status: `success` or `failed`.
        """

        def end(logger: Any) -> None:
            logger.finalize(status)
            # otherwise W&B would log the next run of this process into this one
            if hasattr(logger.experiment, "finish"):
                logger.experiment.finish()

        if self.started:
            self._each(end)

    def _each(self, work: Callable[[Any], Any]) -> None:
        for logger in list(self.loggers):
            self._harmless(logger, work)(logger)

    def _harmless(self, logger: Logger, work: Callable) -> Callable:
        """Return a function that works as long as the logger has not failed, and raises no error."""

        @wraps(work)
        def attempt(*arguments: Any, **options: Any) -> Any:
            if logger not in self.loggers:
                return None
            try:
                return work(*arguments, **options)
            except Exception as error:
                self.loggers.remove(logger)
                why = one_line(error)
                say(
                    self.console,
                    f"warning: {type(logger).__name__} failed and gets nothing more; the run goes on: {why}",
                )

        return attempt


def tag(metric: str) -> str:
    """Return the name of a metric in the characters that every logger takes."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", without_accents(metric)).strip("_")
