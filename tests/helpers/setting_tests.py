"""Every field of a settings class has a test of its name."""

import dataclasses
from collections.abc import Mapping


def missing_tests(settings: type, module: Mapping[str, object]) -> list[str]:
    """Fields of `settings` without a function `test_FIELD` in a test module's `globals()`."""
    names = [field.name for field in dataclasses.fields(settings)]
    return [name for name in names if f"test_{name}" not in module]
