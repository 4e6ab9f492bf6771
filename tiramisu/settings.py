"""What the settings of all commands share. No torch in this file."""

from typing import Literal

Accelerator = Literal["auto", "cpu", "gpu"]


def require(holds: bool, name: str, value: object, expected: str) -> None:
    """Raise ValueError, in the words of the command line, if a setting is out of its range."""
    if not holds:
        raise ValueError(f"--{name.replace('_', '-')} is {value}; expected {expected}")
