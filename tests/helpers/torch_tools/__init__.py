"""Tools of PyTorch that a network is used with: one function each, in one table.

Each tool takes a network in double precision and evaluation mode, and images.
"""

from torch_tools import (
    derivatives,
    functions,
    hooks,
    inputs,
    memory,
    modules,
    optimizers,
    patches,
    subclasses,
    tracing,
    wrappers,
)
from torch_tools.tool import TOOLS, Tool

__all__ = [
    "TOOLS",
    "Tool",
    "derivatives",
    "functions",
    "hooks",
    "inputs",
    "memory",
    "modules",
    "optimizers",
    "patches",
    "subclasses",
    "tracing",
    "wrappers",
]
