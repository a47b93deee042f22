"""One of the other processes of a training on several devices: `python -m genrun.rank`, started by `genrun.ranks`.

It writes no file and takes no lock; what it has to say goes to process 0 in one line.
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
from genrun.signals import STOPPING


def main() -> None:
    rank, folder, processes, port, threads, start = sys.argv[1:]
    words = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints goes to log.txt
    # not sys.stdin: the thread would hold its lock, for which a data worker, a fork of this process, would wait for ever
    pipe = os.dup(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    threading.Thread(target=end_with_process_0, args=(pipe,), daemon=True).start()
    for number in STOPPING:  # process 0 says at which batch all stop
        signal.signal(number, signal.SIG_IGN)
    try:
        follow(int(rank), Path(folder), int(processes), int(port), int(threads), Path(start) if start else None, words)
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


def follow(rank: int, path: Path, processes: int, port: int, threads: int, start: Path | None, words: IO[str]) -> None:
    """Train, as process `rank`, what the folder's configuration describes."""
    import logging

    import torch
    from omegaconf import OmegaConf
    from torch import distributed

    from genrun.callbacks.keeper import Follower
    from genrun.logs import logging_to
    from genrun.model import make_method
    from genrun.run import build_data
    from genrun.runs import RunFolder
    from genrun.shared import PATIENCE
    from genrun.training import make_trainer

    torch.set_num_threads(threads)
    folder = RunFolder(path)
    cfg = OmegaConf.load(path / "config.yaml")
    with logging_to(logging.NullHandler()):
        data = build_data(cfg)
        data.prepare()
        method = make_method(cfg)
        trainer = make_trainer(cfg, folder, Follower(folder), rank=rank)
        trainer.strategy.store = distributed.TCPStore("127.0.0.1", port, processes, False, PATIENCE)
        print("ready", file=words, flush=True)
        trainer.fit(method, data, ckpt_path=start, weights_only=True)
        distributed.destroy_process_group()


if __name__ == "__main__":
    main()
