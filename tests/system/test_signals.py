"""Signals are handled in the main thread; in another one they are left alone."""

from __future__ import annotations

import signal
import threading

import pytest

from genrun.errors import Interrupted
from genrun.system.signals import STOPPING, Signals


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
