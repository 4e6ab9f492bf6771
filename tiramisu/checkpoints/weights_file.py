"""The weights of a network as a safetensors file."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from tiramisu.atomic import write_file

WEIGHTS_NAME = "model.safetensors"


def save_weights(network: nn.Module, folder: Path) -> Path:
    """Write `model.safetensors` into a folder that exists; returns its path."""
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    # Other programs ask the metadata for the framework.
    write_file(folder / WEIGHTS_NAME, save(weights, metadata={"format": "pt"}))
    return folder / WEIGHTS_NAME


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file. Raises ValueError if it is not one, or is truncated."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is truncated or is not a safetensors file ({error})") from None


def load_weights(network: nn.Module, weights: dict[str, Tensor], *, origin: str) -> None:
    """Load weights into a network that they must fit exactly.

    Args:
        network: gets the weights.
        weights: by their names in the network.
        origin: where they come from, for errors.

    Raises:
        ValueError: weights are missing, unknown, of another shape or type, or not finite.
    """
    check_weights(weights, expected=network.state_dict(), origin=origin)
    network.load_state_dict(weights)


def check_weights(
    weights: Mapping[str, Tensor], *, expected: Mapping[str, Tensor], origin: str
) -> None:
    """Raise ValueError unless weights fit those that are expected, and are finite numbers."""
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
    for name, value in weights.items():
        if value.is_floating_point() != expected[name].is_floating_point():
            raise ValueError(
                f"{origin} does not fit the network: {name} is {value.dtype}; expected "
                f"{expected[name].dtype}"
            )
        if value.is_floating_point() and not value.float().isfinite().all():
            raise ValueError(not_finite(origin, name))


def not_finite(origin: str, name: str) -> str:
    """The error about a weight that holds NaN or infinity."""
    return (
        f"{origin} holds NaN or infinity in {name}: its training went wrong or the file is "
        "damaged; use another checkpoint, or train again"
    )
