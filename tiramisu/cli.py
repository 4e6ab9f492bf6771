"""The command line: `tools/*.py` and the console command `tiramisu` both call `run`.

A mistake of the user gives one line and exit code 2. TIRAMISU_TRACEBACK=1 shows the traceback.
"""

import os
import signal
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import NoReturn

from tiramisu.environment import check_environment
from tiramisu.interrupts import Terminated, raise_interrupt
from tiramisu.machine import keep_memory, share_cores
from tiramisu.terminal import protect_output, quieten_decoders
from tiramisu.text import did_you_mean

# The commands are imported only where errors and signals are answered in one line.


def main() -> NoReturn:
    """The console command `tiramisu COMMAND ...`."""
    argv = sys.argv[1:]
    with _one_line("tiramisu"):
        from tiramisu.commands import COMMANDS

        if "_ARGCOMPLETE" in os.environ and find_spec("argcomplete"):
            _complete()
        if argv[:1] == ["--version"]:
            from importlib.metadata import version

            print(f"tiramisu-seg {version('tiramisu-seg')}")
            sys.exit(0)
        if not argv or argv[0] in ("-h", "--help"):
            print("usage: tiramisu COMMAND [options]\n\nCommands:")
            for name, command in COMMANDS.items():
                print(f"  {name:12}{command.__doc__}")
            print("\n`tiramisu COMMAND --help` lists a command's options.")
            sys.exit(0 if argv else 2)
        if argv[0] not in COMMANDS:
            raise ValueError(
                f"unknown command {argv[0]!r}; expected one of {', '.join(COMMANDS)}"
                + did_you_mean(argv[0], COMMANDS)
            )
    run(argv[0], argv[1:])


def run(command: str, argv: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit with its code.

    0 is success, 2 a mistake of the user or a disk, 130 Ctrl-C, 143 SIGTERM.
    """
    with _one_line(f"tiramisu {command}"):
        check_environment()
        share_cores()
        if command != "benchmark":  # which measures what any program gets
            keep_memory()

        from tiramisu.commands import COMMANDS

        COMMANDS[command](sys.argv[1:] if argv is None else argv)
    sys.exit(0)


def _complete() -> None:
    """Answer a shell that asks, by argcomplete, how a line goes on; this ends the process."""
    import argcomplete
    from argcomplete.lexers import split_line

    from tiramisu.commands import COMMANDS

    first = int(os.environ["_ARGCOMPLETE"])  # the place of the command, after `tiramisu`
    line, cursor = os.environ["COMP_LINE"], int(os.environ["COMP_POINT"])
    words = split_line(line, cursor)[3]  # those before the one to complete
    if len(words) > first and words[first] in COMMANDS:
        os.environ["_ARGCOMPLETE"] = str(first + 1)
        COMMANDS[words[first]]([])  # jsonargparse answers when the flags are parsed
    parser = ArgumentParser()
    parser.add_argument("--version", action="store_true")
    parser.add_argument("command", choices=COMMANDS)
    argcomplete.autocomplete(parser)


@contextmanager
def _one_line(name: str) -> Iterator[None]:
    """End the process with one line and an exit code at a mistake, Ctrl-C or SIGTERM."""
    protect_output()
    quieten_decoders()
    signal.signal(signal.SIGTERM, raise_interrupt)
    try:
        yield
    except KeyboardInterrupt as interrupt:
        said = str(interrupt) or "stopped: what was not complete was not written"
        print(f"\n{said}", file=sys.stderr)
        sys.exit(143 if isinstance(interrupt, Terminated) else 130)
    except (ValueError, OSError) as error:
        if os.environ.get("TIRAMISU_TRACEBACK"):
            raise
        print(f"{name}: error: {error}", file=sys.stderr)
        sys.exit(2)
