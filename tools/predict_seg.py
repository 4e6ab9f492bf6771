"""Same as `tiramisu predict`: see `python tools/predict_seg.py --help`."""

from tiramisu.cli import run

if __name__ == "__main__":
    run("predict")
