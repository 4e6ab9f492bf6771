"""Same as `tiramisu benchmark`: see `python tools/benchmark.py --help`."""

from tiramisu.cli import run

if __name__ == "__main__":
    run("benchmark")
