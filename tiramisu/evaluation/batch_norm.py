"""The statistics of batch norm in an evaluation: recalibrated, or those of each batch."""

import copy
import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from tiramisu.checkpoints.model import ImageModel
from tiramisu.data.dataset import ImageDataset
from tiramisu.data.loader import make_loader
from tiramisu.inference.tiles import DEFAULT_TILE, SMALLEST_TILE, Tile, with_smaller_tiles
from tiramisu.models.network import Network
from tiramisu.progress import track


def recalibrate_batch_norm(
    model: ImageModel, dataset: ImageDataset, *, tile: Tile = "auto"
) -> ImageModel:
    """A copy of a model whose batch norm statistics are the mean over a data set.

    They are measured on whole images, one at a time, without augmentation and dropout, as the model
    is used. The running averages of training come from the small augmented crops of its last steps.
    For segmentation, larger images are cut into tiles, each of which counts as one image.

    Args:
        model: stays as it is.
        dataset: the images, in any size.
        tile: longest side of what goes through the network, in pixels; "auto" is 1024, None takes
            every image whole. If memory runs out, it starts again with smaller tiles.

    Raises:
        ValueError: the images are so small that a channel has a single value.
    """
    info = model.info
    dataset = dataset.as_seen(image_scale=info.image_scale, image_size=info.seen_size)
    if model.task == "classification":
        return _measure(model, dataset, side=None)
    side = DEFAULT_TILE if tile == "auto" else tile
    # Images that are smaller than the tile are not looked for: then a try or two are for nothing.
    return with_smaller_tiles(
        lambda side: _measure(model, dataset, side=side), tile=side, longest_side=side or 0
    )


def refresh_batch_norm(model: ImageModel, batches: Iterable[Tensor]) -> None:
    """Measure a model's batch norm statistics again, on batches as it was trained on.

    Running averages lag behind the weights: after 20 steps a network is judged by the statistics of
    networks that it was before. Whole images, one at a time, are no substitute where they are
    small: the statistics of a deep layer then come from a few pixels at a time.

    Args:
        model: its statistics are replaced, and nothing else.
        batches: of images (B, C, H, W).

    Raises:
        ValueError: the images are so small that a channel has a single value.
    """
    measured = _update(copy.deepcopy(model), batches)
    for own, new in zip(batch_norms(model), batch_norms(measured), strict=True):
        own.load_state_dict(new.state_dict())


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """The batch norm layers of a model."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def _measure(model: ImageModel, dataset: ImageDataset, *, side: int | None) -> ImageModel:
    model = copy.deepcopy(model)
    if isinstance(model.network, Network):
        model.network.unfreeze()  # statistics of frozen parts would stay as they are
    loader = make_loader(dataset, batch_size=1, shuffle=False, num_workers=0, seed=0)
    bar = track(loader, doing="measuring batch norm", unit="images", total=len(loader))
    return _update(model, (part for batch in bar for part in cut(batch["image"], side=side)))


def _update(model: ImageModel, batches: Iterable[Tensor]) -> ImageModel:
    """The model itself, in evaluation mode, with the mean of the statistics of all batches."""
    device = model.device
    dropouts = [module for module in model.modules() if isinstance(module, _DropoutNd)]
    rates = [dropout.p for dropout in dropouts]
    for dropout in dropouts:
        dropout.p = 0.0
    model.train()
    # Frozen layers, which stay in evaluation mode, keep their statistics.
    measured = [(norm, norm.momentum) for norm in batch_norms(model) if norm.training]
    for norm, _ in measured:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    try:
        with torch.no_grad():
            for images in batches:
                model(images.to(device))
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ValueError(
            "batch norm's statistics cannot be measured on images so small that the network "
            "shrinks them to one pixel; expected sides of 64 pixels or more"
        ) from None
    for norm, momentum in measured:
        norm.momentum = momentum
    for dropout, rate in zip(dropouts, rates, strict=True):
        dropout.p = rate
    return model.eval()


def cut(images: Tensor, *, side: int | None) -> Iterator[Tensor]:
    """Cut images (B, C, H, W) into parts of about equal size, no side longer than `side`.

    No side is cut to less than 64 pixels: a `side` below 128 counts as 128.
    """
    starts, ends = [], []
    for length in images.shape[-2:]:
        number = 1 if side is None else math.ceil(length / max(side, SMALLEST_TILE))
        edges = [i * length // number for i in range(number + 1)]
        starts.append(edges[:-1])
        ends.append(edges[1:])
    for top, bottom in zip(starts[0], ends[0], strict=True):
        for left, right in zip(starts[1], ends[1], strict=True):
            yield images[..., top:bottom, left:right]


def use_batch_statistics(model: ImageModel) -> ImageModel:
    """A copy of a model that normalises each batch with the statistics of this batch.

    The paper's authors evaluated this way, with batches of 10 consecutive frames. A prediction then
    depends on the other images of its batch, so state the mode beside every score.
    """
    model = copy.deepcopy(model).eval()
    for module in batch_norms(model):
        # Without running statistics, batch norm uses those of the batch in evaluation mode too.
        module.track_running_stats = False
        module.running_mean = module.running_var = None
    return model
