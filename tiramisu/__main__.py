"""`python -m tiramisu COMMAND ...`, the same as `tiramisu COMMAND ...`."""

from tiramisu.cli import main

if __name__ == "__main__":
    main()
