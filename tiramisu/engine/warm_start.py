"""The weights that a run starts from: another run's, or public ones."""

from pathlib import Path

from tiramisu.engine.checkpoint import load_model, load_weights
from tiramisu.engine.model import ImageModel
from tiramisu.models.weights import load_fitting, load_public

HEADS = ("classifier", "segmentation_head")
"""Last parts of networks, which make the logits."""


def warm_start(model: ImageModel, source: str) -> None:
    """Give a model's network the weights of `source`, as far as they fit; prints what it took.

    A run of the same network and classes is taken whole. Of any other, all layers that fit are
    taken, and the head, which makes the logits of other classes, keeps its fresh weights.

    Args:
        model: a fresh model.
        source: a run or checkpoint, or torchvision's weights of its DenseNet: IMAGENET1K_V1.

    Raises:
        ValueError, FileNotFoundError, OSError: there are no such weights, or none of them fit.
    """
    is_file = Path(source).exists() or "/" in source or "." in source
    if not is_file and source.isidentifier():
        # unet:densenet121 has the encoder's; densenet121 its own.
        transfer = load_public(model.network, model.info.arch.rpartition(":")[2], source)
        print(f"--init-from {source}: {transfer}")
        return
    start = load_model(source)
    if (start.info.mean, start.info.std) != (model.info.mean, model.info.std):
        print(
            f"Warning: --init-from {source} was trained on images normalised in another way; "
            "--normalize chooses"
        )
    same_classes = start.info.class_names == model.info.class_names
    if same_classes and start.info.arch == model.info.arch:
        load_weights(model.network, start.network.state_dict(), origin=f"--init-from {source}")
        return
    names = [name for name, _ in model.network.named_modules()]
    heads = [] if same_classes else [n for n in names if n.rpartition(".")[2] in HEADS]
    transfer = load_fitting(model.network, start.network, leave=heads)
    print(f"--init-from {source}: {transfer}")
