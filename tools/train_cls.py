"""Same as `tiramisu train_cls`: see `python tools/train_cls.py --help`."""

from tiramisu.cli import run

if __name__ == "__main__":
    run("train_cls")
