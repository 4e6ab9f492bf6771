"""Ctrl-C, and SIGTERM: the signal by which schedulers ask a process to end before they kill it."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType
from typing import NoReturn

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Terminated(KeyboardInterrupt):
    """SIGTERM came. Treated as Ctrl-C, but the exit code is 143."""


def raise_interrupt(number: int, frame: FrameType | None = None) -> NoReturn:
    """Raise KeyboardInterrupt, or Terminated for SIGTERM; a handler of signals."""
    raise Terminated if number == signal.SIGTERM else KeyboardInterrupt


def leave_process_group() -> None:
    """For a child process: a terminal's Ctrl-C then reaches only its parent, which decides.

    Signals that are sent to the child itself still end it, as its parent does at the end.
    """
    if hasattr(os, "setpgrp"):  # not on Windows
        os.setpgrp()


@contextmanager
def restored_handlers() -> Iterator[None]:
    """Give both signals the handlers from before the block, whatever happens in it."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        if current_thread() is main_thread():  # no other thread may set handlers
            for number, handler in before.items():
                if handler is not None:  # None: it was not set from Python
                    signal.signal(number, handler)
