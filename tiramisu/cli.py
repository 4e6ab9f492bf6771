"""The command line: `tools/*.py` and the console command `tiramisu` both call `run`.

A mistake of the user gives one line and exit code 2. TIRAMISU_TRACEBACK=1 shows the traceback.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from tiramisu import commands
from tiramisu.environment import check_environment
from tiramisu.interrupts import Terminated, raise_interrupt
from tiramisu.terminal import protect_output, quieten_decoders

COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "train": commands.train,
    "eval": commands.evaluate,
    "predict": commands.predict,
    "train_cls": commands.train_classifier,
    "eval_cls": commands.evaluate_classifier,
    "predict_cls": commands.predict_classes,
    "export": commands.export,
    "publish": commands.publish,
    "benchmark": commands.benchmark,
    "summary": commands.summary,
    "check": commands.check,
    "download": commands.download,
}


def main() -> NoReturn:
    """The console command `tiramisu COMMAND ...`."""
    protect_output()
    argv = sys.argv[1:]
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
        print(
            f"tiramisu: error: unknown command {argv[0]!r}; the commands are {', '.join(COMMANDS)}",
            file=sys.stderr,
        )
        sys.exit(2)
    run(argv[0], argv[1:])


def run(command: str, argv: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit with its code.

    0 is success, 2 a mistake of the user or a disk, 130 Ctrl-C, 143 SIGTERM.
    """
    protect_output()
    quieten_decoders()
    signal.signal(signal.SIGTERM, raise_interrupt)
    try:
        check_environment()
        COMMANDS[command](sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt as interrupt:
        said = str(interrupt) or "stopped: what was not complete was not written"
        print(f"\n{said}", file=sys.stderr)
        sys.exit(143 if isinstance(interrupt, Terminated) else 130)
    except (ValueError, OSError) as error:
        if os.environ.get("TIRAMISU_TRACEBACK"):
            raise
        print(f"tiramisu {command}: error: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(0)
