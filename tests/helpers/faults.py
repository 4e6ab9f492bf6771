"""Child processes that are killed, or that may not write much.

They are forked from a process that has imported the package and started no threads yet: to start
Python and PyTorch anew would take seconds each time.
"""

import contextlib
import io
import multiprocessing
import resource
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from tiramisu import cli
from tiramisu.training.config import TrainConfig

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tiramisu.training.train", "tiramisu.export.exporting"])


def start(function: Callable[..., None], *arguments: Any) -> BaseProcess:
    process = CONTEXT.Process(target=function, args=arguments)
    process.start()
    return process


def start_or_resume(config: TrainConfig, folder: Path) -> None:
    """Train in a folder, as a user does who gives the command again after each crash."""
    import dataclasses

    from tiramisu.training.train import train

    torch.set_num_threads(1)
    is_run = (folder / "config.yaml").is_file()
    place = {"resume": str(folder)} if is_run else {"out": str(folder)}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        train(dataclasses.replace(config, **place))


def run_limited(argv: Sequence[str], *, limit: int | None = None) -> tuple[int, str]:
    """Exit code and errors of a command that can write no file of more than so many bytes."""
    receiver, sender = CONTEXT.Pipe(duplex=False)
    process = start(_run_limited, list(argv), limit, sender)
    sender.close()
    try:
        code, errors = receiver.recv()
    except EOFError:
        process.join()
        return process.exitcode or 0, "the process died"
    process.join()
    return code, errors


def _run_limited(argv: list[str], limit: int | None, sender: Connection) -> None:
    torch.set_num_threads(1)
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    sys.stdout, sys.stderr = io.StringIO(), io.StringIO()
    try:
        cli.run(argv[0], argv[1:])
    except SystemExit as end:
        sender.send((end.code, sys.stderr.getvalue()))
