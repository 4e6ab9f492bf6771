"""What feeds what in a network, found by following every tensor of a run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from tiramisu.summary.meta_run import Trace, blank, find_tensors

INPUT = "input"
OUTPUT = "output"


def find_sources(trace: Trace, parts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Find what feeds what, by following every tensor of a run through all operations.

    A part has another one as its source if one of its operations reads what the other one made,
    directly or by way of operations between the parts (additions, concatenations, croppings). To
    ask for a tensor's shape is not to read it.

    Args:
        trace: the network's run.
        parts: names of modules, none inside another.

    Returns:
        For each part that computes something, and for "output": its sources, "input" among them,
        in the order in which they were read.
    """
    flow = _Flow()
    hooks = []
    for name in parts:
        module = trace.modules[name]
        hooks.append(module.register_forward_pre_hook(_Entry(flow, name)))
        hooks.append(module.register_forward_hook(_Exit(flow)))
    images = blank(trace.input)
    flow.label([images], {INPUT: None})
    try:
        with torch.no_grad(), torch.device("meta"), flow:
            output = trace.network(images)
    finally:
        for hook in hooks:
            hook.remove()
    flow.sources[OUTPUT] = flow.origins(find_tensors(output))
    return {name: tuple(sources) for name, sources in flow.sources.items()}


class _Flow(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes, for every tensor, which parts it comes from, and what each part reads."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.inside: list[str] = []
        self.sources: dict[str, dict[str, None]] = {}
        self._labels: dict[int, tuple[Tensor, dict[str, None]]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        origins = self.origins(find_tensors((args, kwargs)))
        result = func(*args, **(kwargs or {}))
        if self.inside:
            part = self.inside[0]
            read = self.sources.setdefault(part, {})
            read.update((origin, None) for origin in origins if origin != part)
            origins = {part: None}
        self.label(find_tensors(result), origins)
        return result

    def label(self, tensors: Iterable[Tensor], origins: dict[str, None]) -> None:
        for tensor in tensors:
            # The tensor is kept as well: while it lives, its id is nobody else's.
            self._labels[id(tensor)] = tensor, origins

    def origins(self, tensors: Iterable[Tensor]) -> dict[str, None]:
        """Names of the parts that the tensors come from, as an ordered set."""
        known = (self._labels[id(tensor)][1] for tensor in tensors if id(tensor) in self._labels)
        return {name: None for names in known for name in names}


@dataclass(frozen=True)
class _Entry:
    flow: _Flow
    name: str

    def __call__(self, _module: nn.Module, _args: Any) -> None:
        self.flow.inside.append(self.name)


@dataclass(frozen=True)
class _Exit:
    flow: _Flow

    def __call__(self, _module: nn.Module, _args: Any, _output: Any) -> None:
        self.flow.inside.pop()
