"""Run one worker, a rank above 0 of a training on several devices: `python -m genrun.training.worker`.

genrun.distributed.launcher starts it. It writes no files and takes no lock. It reports to rank 0 in one line.
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
    to_rank_0 = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes to log.txt
    # not sys.stdin: the thread would hold its lock, and a data worker forked from this process would wait for it for ever
    from_rank_0 = os.dup(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    threading.Thread(target=exit_with_rank_0, args=(from_rank_0,), daemon=True).start()
    for number in STOPPING:  # rank 0 decides at which batch all ranks stop
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
            to_rank_0,
        )
    except Interrupted:
        pass
    except BaseException as error:
        traceback.print_exc()
        print(json.dumps({"error": " ".join(str(error).split()) or type(error).__name__}), file=to_rank_0, flush=True)
        os._exit(1)
    sys.stderr.flush()
    os._exit(0)


def exit_with_rank_0(from_rank_0: int) -> None:
    """Exit when rank 0 closes its end of the pipe: it does so after the training, and the system does so if rank 0 is killed."""
    while os.read(from_rank_0, 1):
        pass
    os._exit(1)


def train(
    rank: int, path: Path, stage: str, processes: int, port: int, threads: int, start: Path | None, to_rank_0: IO[str]
) -> None:
    """Train one phase of the run in a folder, as one of its ranks.

    Args:
        rank: the rank of this process.
        path: the run folder.
        stage: the stage of the phase.
        processes: number of ranks.
        port: port of the store by which the ranks find each other.
        threads: number of threads of this process.
        start: the checkpoint that the training resumes from.
        to_rank_0: a stream that rank 0 reads.
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
    from genrun.runs.phases import earlier_weights, phases_of
    from genrun.training.trainer import make_trainer

    torch.set_num_threads(threads)
    folder = RunFolder(path)
    cfg = OmegaConf.load(path / "config.yaml")
    phase = next(phase for phase in phases_of(cfg) if phase.stage == stage)
    with logging_to(logging.NullHandler()):
        data = build_data(cfg)
        data.prepare()
        method = make_method(cfg, phase, earlier_weights(folder, phases_of(cfg), phase))
        trainer = make_trainer(cfg, folder, phase, WorkerCheckpoint(folder, phase), rank=rank)
        trainer.strategy.store = distributed.TCPStore("127.0.0.1", port, processes, False, COLLECTIVE_TIMEOUT)
        print("ready", file=to_rank_0, flush=True)
        trainer.fit(method, data, ckpt_path=start, weights_only=True)
        distributed.destroy_process_group()


if __name__ == "__main__":
    main()
