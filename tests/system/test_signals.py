"""A signal stops a run wherever it arrives, and is never taken for an error."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading

import pytest
import torch
from omegaconf import OmegaConf

from genrun.config.build import build
from genrun.config.compose import compose
from genrun.errors import Interrupted
from genrun.runs.resume import is_whole
from genrun.system.signals import STOPPING, Signals, held_back


def send(number: int = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


class Interrupting:
    """An object that sends SIGTERM when it is made."""

    def __init__(self) -> None:
        send(signal.SIGTERM)


def test_a_signal_while_a_checkpoint_is_read_leaves_it_alone(tmp_path, monkeypatch):
    checkpoint = tmp_path / "last.ckpt"
    torch.save({"epoch": 3}, checkpoint)
    load = torch.load

    def load_and_interrupt(*arguments, **options):
        send()
        return load(*arguments, **options)

    monkeypatch.setattr(torch, "load", load_and_interrupt)
    with Signals().watching(), pytest.raises(Interrupted) as stopped:
        is_whole(checkpoint)
    assert stopped.value.status == 130
    assert os.listdir(tmp_path) == ["last.ckpt"]


def resolve() -> None:
    OmegaConf.register_new_resolver("interrupting", Interrupting, replace=True)
    OmegaConf.to_container(OmegaConf.create({"value": "${interrupting:}"}), resolve=True)


def build_part() -> None:
    build(OmegaConf.create({"_target_": f"{__name__}.Interrupting"}), "part")


@pytest.mark.parametrize("work", [resolve, build_part])
def test_no_library_takes_a_signal_for_an_error_of_its_own(work):
    with Signals().watching(), pytest.raises(Interrupted):
        work()


def test_composing_does_not_take_a_signal_for_an_error(monkeypatch):
    import hydra

    monkeypatch.setattr(hydra, "compose", lambda *_, **__: send())
    with Signals().watching(), pytest.raises(Interrupted):
        compose([])


def test_a_signal_that_other_code_swallowed_stops_at_the_next_check():
    with Signals().watching() as signals:
        with contextlib.suppress(BaseException):
            send()
        with pytest.raises(Interrupted):
            signals.check()


def test_a_second_signal_of_another_kind_does_not_break_off_what_a_stop_needs():
    done = False
    with Signals().watching() as signals, pytest.raises(Interrupted) as stopped:
        try:
            send()
        finally:
            send(signal.SIGTERM)
            done = True
    assert done and signals.received == stopped.value.signum == signal.SIGINT


def test_a_process_that_holds_signals_back_handles_them_once_it_watches():
    code = (
        "import sys, time; from genrun.system.signals import Signals; from genrun.errors import Interrupted\n"
        "print('up', flush=True); sys.stdin.readline()\n"
        "try:\n with Signals().watching(): time.sleep(60)\n"
        "except Interrupted as error: print(error)"
    )
    with held_back():
        child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "up\n"
    child.send_signal(signal.SIGTERM)
    printed, _ = child.communicate("go on\n", timeout=60)
    assert printed.startswith("stopped by SIGTERM")


def test_the_main_thread_handles_signals_and_gives_the_handlers_back():
    before = [signal.getsignal(number) for number in STOPPING]
    with pytest.raises(Interrupted), Signals().watching():
        signal.raise_signal(signal.SIGTERM)
    assert [signal.getsignal(number) for number in STOPPING] == before


def test_another_thread_works_without_handling_signals():
    before, seen = [signal.getsignal(number) for number in STOPPING], []

    def work() -> None:
        with Signals().watching() as signals, signals.deferred():
            seen.append([signal.getsignal(number) for number in STOPPING])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
