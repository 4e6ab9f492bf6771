"""Same as `tiramisu eval`: see `python tools/eval_seg.py --help`."""

from tiramisu.cli import run

if __name__ == "__main__":
    run("eval")
