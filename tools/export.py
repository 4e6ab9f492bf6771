"""Same as `tiramisu export`: see `python tools/export.py --help`."""

from tiramisu.cli import run

if __name__ == "__main__":
    run("export")
