"""Packages that not everyone needs, such as those of `pip install "tiramisu-seg[export]"`."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from unittest import mock


def require_package(name: str, *, purpose: str, extra: str = "export") -> ModuleType:
    """Import an optional package, which comes with an extra of this one.

    Raises:
        ValueError: it is not installed; the message has the remedy.
    """
    try:
        with without_telemetry():
            return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(
            f"{purpose} needs the package {name}, which cannot be imported ({error}): run "
            f'pip install "tiramisu-seg[{extra}]"'
        ) from None


@contextmanager
def without_telemetry() -> Iterator[None]:
    """A context in which OpenVINO's converter and NNCF send no usage statistics.

    They send none in continuous integration, which the variable CI stands for.
    """
    with mock.patch.dict("os.environ", {"CI": "true"}):
        yield
