"""The networks for `torch.hub`, from a clone or from GitHub, without installing Tiramisu.

torch.hub.load("OWNER/tiramisu", "fc_densenet56", num_classes=11)   # fresh weights
torch.hub.load("OWNER/tiramisu", "model", "hf://USER/NAME")         # a trained model
torch.hub.load("path/to/clone", "densenet121", source="local")
"""

from tiramisu.checkpoints.checkpoint import load_model as _load_model
from tiramisu.checkpoints.model import ImageModel as _ImageModel
from tiramisu.models import (
    densenet40_12,
    densenet100_12,
    densenet100_24,
    densenet121,
    densenet161,
    densenet169,
    densenet201,
    densenet264,
    densenet_bc40_12,
    densenet_bc100_12,
    densenet_bc190_40,
    densenet_bc250_24,
    fc_densenet56,
    fc_densenet67,
    fc_densenet103,
)

dependencies = ["torch", "numpy", "safetensors", "huggingface_hub", "yaml"]

# Every callable here is an entry of torch.hub.
__all__ = [
    "densenet40_12",
    "densenet100_12",
    "densenet100_24",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
    "densenet264",
    "densenet_bc40_12",
    "densenet_bc100_12",
    "densenet_bc190_40",
    "densenet_bc250_24",
    "fc_densenet56",
    "fc_densenet67",
    "fc_densenet103",
    "model",
]


def model(checkpoint: str, *, device: str = "cpu") -> _ImageModel:
    """A trained model, ready to predict: images with the values of their files -> logits.

    Args:
        checkpoint: the folder of a run, a model.safetensors, the name of a model in
            tiramisu/weights/, or hf://USER/NAME on Hugging Face's Hub.
        device: where the weights go.
    """
    return _load_model(checkpoint, device=device)
