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
            f"{purpose} takes the package {name}, which cannot be imported here ({error}): "
            'pip install "tiramisu-seg[export]"'
        ) from None


@contextmanager
def without_telemetry() -> Iterator[None]:
    """Keep OpenVINO's converter and NNCF from reporting to their makers that they are used.

    They do unless a user opted out, or they believe that they run in continuous integration.
    """
    with mock.patch.dict("os.environ", {"CI": "true"}):
        yield
