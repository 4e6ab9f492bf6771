"""State dicts of PyTorch from elsewhere: weights without a description, .pth or .safetensors.

Nothing here runs code from a file: it is opened with `weights_only=True`.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tiramisu.checkpoints.info import HUB_CONFIG_NAME, INFO_NAME
from tiramisu.checkpoints.model_files import read_archive
from tiramisu.checkpoints.weights_file import not_finite, read_weights
from tiramisu.models.pretrained import load_fitting
from tiramisu.text import list_some, show

PICKLES = (".pth", ".pt", ".bin", ".th", ".tar", ".ckpt")
"""How the names of files end that `torch.save` has written."""
KEYS = ("state_dict", "model_state_dict", "model", "network", "net", "params", "weights", "module")
"""Where programs keep the weights in a dictionary with more than these."""
_WRAPPER = re.compile(r"^(?:module\.|_orig_mod\.|model\.|net\.|network\.)+")


def is_plain(path: Path) -> bool:
    """Whether a file has weights alone, and no description of a model of Tiramisu."""
    if not path.is_file():
        return False
    if path.suffix == ".safetensors":
        return not any((path.parent / name).is_file() for name in (INFO_NAME, HUB_CONFIG_NAME))
    if path.suffix == ".ckpt":  # Lightning's, of a run or of something else
        content = _read_pickle(path)
        return not (isinstance(content, Mapping) and "model_info" in content)
    return path.suffix in PICKLES


def read_plain(path: Path) -> dict[str, Tensor]:
    """The weights in a file, by their names there.

    Raises:
        ValueError: it is damaged, holds objects that could run code, or no weights.
    """
    if path.suffix == ".safetensors":
        weights: dict[str, Tensor] = read_weights(path)
    else:
        weights = _find_weights(_read_pickle(path), path)
    for name, value in weights.items():
        if value.is_floating_point() and not value.float().isfinite().all():
            raise ValueError(not_finite(str(path), name))
    return weights


def load_plain(network: nn.Module, path: Path) -> str:
    """Load every layer that fits from a file with plain weights; the line says which fitted.

    Raises:
        ValueError: the file cannot be read, or no layer fits.
    """
    weights = read_plain(path)
    own = network.state_dict()
    shapes = {name: value.shape for name, value in own.items()}
    for renamed in _rename(weights):
        if {name: value.shape for name, value in renamed.items()} == shapes:
            network.load_state_dict(renamed)
            return f"all {len({name.rpartition('.')[0] for name in own})} layers loaded"
    try:
        transfer = load_fitting(network, weights)
    except ValueError as error:
        raise ValueError(
            f"{path}: {error} (its layers are {_layers(weights)}; those of the network "
            f"{_layers(own)})"
        ) from None
    line = str(transfer)
    if transfer.adapted:
        line += ". An adapted layer is for another number of bands: its filters are repeated (for "
        line += "one band, summed) and scaled"
    return line


def _layers(state: Mapping[str, Tensor]) -> str:
    return list_some(list(dict.fromkeys(name.rpartition(".")[0] for name in state)), most=2)


def _rename(weights: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """The weights under the names that they may have here: as they are, and unwrapped."""
    plain = {_WRAPPER.sub("", name): value for name, value in weights.items()}
    inside = {f"network.{name}": value for name, value in plain.items()}  # as in `Padded`
    return [weights, plain, inside]


def _read_pickle(path: Path) -> Any:
    return read_archive(
        path,
        remedy="save its weights alone, where you trust the file: "
        "torch.save(model.state_dict(), 'weights.pth')",
    )


def _find_weights(content: object, path: Path) -> dict[str, Tensor]:
    """The state dict in what a file holds: itself, or under one of `KEYS`."""
    found = content
    for _ in range(2):  # a checkpoint within a checkpoint
        if not isinstance(found, Mapping) or any(isinstance(v, Tensor) for v in found.values()):
            break
        key = next((key for key in KEYS if isinstance(found.get(key), Mapping)), None)
        found = found if key is None else found[key]
    weights: dict[str, Tensor] = {}
    if isinstance(found, Mapping):
        for name, value in found.items():
            is_weight = isinstance(name, str) and isinstance(value, Tensor)
            if is_weight and value.layout is torch.strided and not value.is_quantized:
                weights[name] = value
    if not weights:
        came = (
            f"a dictionary of {list_some([*found], most=5)}"
            if isinstance(found, Mapping)
            else ("a tensor" if isinstance(found, Tensor) else show(found))
        )
        raise ValueError(
            f"{path} holds {came}; expected a state dict, names and tensors, or one under "
            f"{' or '.join(KEYS[:3])}: torch.save(model.state_dict(), 'weights.pth')"
        )
    return weights
