"""Same as `tiramisu eval_cls`: see `python tools/eval_cls.py --help`."""

from tiramisu.cli import run

if __name__ == "__main__":
    run("eval_cls")
