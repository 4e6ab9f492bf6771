"""The weights that a run starts from: those of another run, or public ones."""

import re
from pathlib import Path

from tiramisu.checkpoints.checkpoint import load_model
from tiramisu.checkpoints.model import IMAGENET_MEAN, IMAGENET_STD, ImageModel
from tiramisu.checkpoints.model_files import find_checkpoint, read_model_file
from tiramisu.checkpoints.plain_weights import is_plain, load_plain
from tiramisu.checkpoints.weights_file import load_weights
from tiramisu.devices import is_main_process
from tiramisu.models import build_model
from tiramisu.models.own_network import NetworkBuilder
from tiramisu.models.pretrained import load_fitting
from tiramisu.models.public_weights import load_public

PUBLIC = re.compile(r"(\w+_Weights\.)?(IMAGENET1K_V\d|DEFAULT)|imagenet")
"""Names of public weights in torchvision, and in segmentation-models-pytorch."""
LAST_PARTS = ("classifier", "segmentation_head")
"""Names of the parts of networks that compute the logits."""


def warm_start(model: ImageModel, source: str, *, builder: NetworkBuilder | None = None) -> None:
    """Load the weights of `source` into a model's network where they fit; prints which did.

    From a run of the same network and classes, all weights are loaded. From any other, all layers
    that fit are loaded; if the classes differ, the last layer keeps its fresh weights.

    Args:
        model: a fresh model.
        source: a run or checkpoint; torchvision's weights of a DenseNet (IMAGENET1K_V1); or, for
            networks smp:..., the weights of the encoder (imagenet); or a file with the state dict
            of a network, .pth or .safetensors.
        builder: what has built the network, if it is one's own.

    Raises:
        ValueError, FileNotFoundError, OSError: there are no such weights, or none of them fit.
    """
    network, info = model.network, model.info
    loaded: object = "all weights"
    start_values = info.pixel_type, info.value_range
    if is_plain(Path(source)):
        try:
            line = load_plain(model.network, Path(source))
        except ValueError as error:
            raise ValueError(f"--init-from {error}") from None
        if is_main_process():
            print(f"--init-from {source}: {line}")
        return
    if PUBLIC.fullmatch(source) and not Path(source).exists():
        normalization: tuple[tuple[float, ...], ...] = IMAGENET_MEAN, IMAGENET_STD
        if info.arch.startswith("smp:"):
            pretrained = build_model(
                info.arch,
                num_classes=len(info.class_names),
                in_channels=info.channels,
                weights=source,
            )
            load_weights(network, pretrained.state_dict(), origin=source)
            loaded = "the encoder's weights"
        else:
            # The weights of densenet121 are also those of the encoder of unet:densenet121.
            loaded = load_public(network, info.arch.rpartition(":")[2], source)
    else:
        start = _load_start(source, arch=info.arch, builder=builder)
        normalization = start.info.mean, start.info.std
        start_values = start.info.pixel_type, start.info.value_range
        same_classes = start.info.class_names == info.class_names
        same_images = start.info.channels == info.channels
        if same_classes and same_images and start.info.arch == info.arch:
            load_weights(network, start.network.state_dict(), origin=f"--init-from {source}")
        else:
            names = [name for name, _ in network.named_modules()]
            last = [] if same_classes else [n for n in names if n.rpartition(".")[2] in LAST_PARTS]
            loaded = load_fitting(network, start.network, leave=last)
    if is_main_process():
        same_bands = len(normalization[0]) == info.channels
        if same_bands and start_values != (info.pixel_type, info.value_range):
            print(
                f"Warning: --init-from {source} was trained on images whose values were scaled "
                "differently; set --scaling to match"
            )
        elif same_bands and normalization != (info.mean, info.std):
            print(
                f"Warning: --init-from {source} was trained on images that were normalised "
                "differently; set --normalize to match"
            )
        print(f"--init-from {source}: {loaded}")


def _load_start(source: str, *, arch: str, builder: NetworkBuilder | None) -> ImageModel:
    """The model to start from; if its network is the same one of one's own, by that."""
    if builder is not None and read_model_file(find_checkpoint(source))[0].arch == arch:
        return load_model(source, network=builder)
    return load_model(source)
