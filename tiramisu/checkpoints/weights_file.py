"""The weights of a network as a safetensors file."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

WEIGHTS_NAME = "model.safetensors"


def save_weights(network: nn.Module, folder: Path) -> Path:
    """Write `model.safetensors` into a folder that exists; returns its path."""
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    partial = folder / f"{WEIGHTS_NAME}.partial"
    save_file(weights, partial)
    partial.replace(folder / WEIGHTS_NAME)
    return folder / WEIGHTS_NAME


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is truncated or is no safetensors file ({error})") from None


def load_weights(network: nn.Module, weights: dict[str, Tensor], *, origin: str) -> None:
    """Load weights that must fit a network exactly; `origin` names them in errors."""
    expected = network.state_dict()
    missing = sorted(expected.keys() - weights.keys())
    unknown = sorted(weights.keys() - expected.keys())
    reshaped = sorted(
        name
        for name in expected.keys() & weights.keys()
        if expected[name].shape != weights[name].shape
    )
    if missing or unknown or reshaped:
        first = (missing + unknown + reshaped)[0]
        raise ValueError(
            f"{origin} does not fit the network: {len(missing)} layers missing, {len(unknown)} "
            f"unknown, {len(reshaped)} of another shape (first: {first}); the weights belong to "
            "another architecture or another number of classes"
        )
    network.load_state_dict(weights)
