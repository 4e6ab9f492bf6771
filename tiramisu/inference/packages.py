"""Packages that only exported models need: `pip install "tiramisu-seg[export]"`."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from unittest import mock


def require_package(name: str, *, purpose: str) -> ModuleType:
    """Import an optional package. Raises ValueError with the remedy if it is not installed."""
    try:
        with without_telemetry():
            return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(
            f"{purpose} needs the package {name}, which cannot be imported ({error}): run "
            'pip install "tiramisu-seg[export]"'
        ) from None


@contextmanager
def without_telemetry() -> Iterator[None]:
    """A context in which OpenVINO's converter and NNCF send no usage statistics.

    They send none in continuous integration, which the variable CI stands for.
    """
    with mock.patch.dict("os.environ", {"CI": "true"}):
        yield
