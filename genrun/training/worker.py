"""A worker: one of the other processes of a training on several devices, `python -m genrun.training.worker`.

genrun.distributed.launcher starts it. It writes no file and takes no lock; what it has to say goes to rank 0 in one line.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import IO

from genrun.errors import Interrupted
from genrun.system.signals import STOPPING


def main() -> None:
    rank, folder, stage, processes, port, threads, start = sys.argv[1:]
    words = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints goes to log.txt
    # not sys.stdin: the thread would hold its lock, for which a data worker, a fork of this process, would wait for ever
    pipe = os.dup(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    threading.Thread(target=end_with_process_0, args=(pipe,), daemon=True).start()
    for number in STOPPING:  # process 0 says at which batch all stop
        signal.signal(number, signal.SIG_IGN)
    try:
        train(
            int(rank),
            Path(folder),
            stage,
            int(processes),
            int(port),
            int(threads),
            Path(start) if start else None,
            words,
        )
    except Interrupted:
        pass
    except BaseException as error:
        traceback.print_exc()
        print(json.dumps({"error": " ".join(str(error).split()) or type(error).__name__}), file=words, flush=True)
        os._exit(1)
    sys.stderr.flush()
    os._exit(0)


def end_with_process_0(pipe: int) -> None:
    """Its end of the pipe is closed when the training is over, and by the system when it was killed."""
    while os.read(pipe, 1):
        pass
    os._exit(1)


def train(
    rank: int, path: Path, stage: str, processes: int, port: int, threads: int, start: Path | None, words: IO[str]
) -> None:
    """Train, as one rank, a phase of what the folder's configuration describes.

    Args:
        stage: of the phase.
        port: of the store by which the ranks find each other.
        words: where to write to rank 0.
    """
    import logging

    import torch
    from omegaconf import OmegaConf
    from torch import distributed

    from genrun.callbacks.checkpoint import WorkerCheckpoint
    from genrun.distributed.strategy import COLLECTIVE_TIMEOUT
    from genrun.parts import build_data, make_method
    from genrun.runs.folder import RunFolder
    from genrun.runs.logs import logging_to
    from genrun.runs.phases import phases_of
    from genrun.training.trainer import make_trainer

    torch.set_num_threads(threads)
    folder = RunFolder(path)
    cfg = OmegaConf.load(path / "config.yaml")
    phase = next(phase for phase in phases_of(cfg) if phase.stage == stage)
    with logging_to(logging.NullHandler()):
        data = build_data(cfg)
        data.prepare()
        method = make_method(cfg, folder, phase)
        trainer = make_trainer(cfg, folder, phase, WorkerCheckpoint(folder, phase), rank=rank)
        trainer.strategy.store = distributed.TCPStore("127.0.0.1", port, processes, False, COLLECTIVE_TIMEOUT)
        print("ready", file=words, flush=True)
        trainer.fit(method, data, ckpt_path=start, weights_only=True)
        distributed.destroy_process_group()


if __name__ == "__main__":
    main()
