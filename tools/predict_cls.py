"""Same as `tiramisu predict_cls`: see `python tools/predict_cls.py --help`."""

from tiramisu.cli import run

if __name__ == "__main__":
    run("predict_cls")
