"""Same as `tiramisu train`: see `python tools/train_seg.py --help`."""

from tiramisu.cli import run

if __name__ == "__main__":
    run("train")
