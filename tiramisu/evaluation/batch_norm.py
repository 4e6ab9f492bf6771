"""The statistics that batch norm goes by when a trained model is judged and used."""

import copy

from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.optim.swa_utils import update_bn
from tqdm import tqdm

from tiramisu.checkpoints.model import ImageModel
from tiramisu.data.dataset import ImageDataset
from tiramisu.data.loader import make_loader
from tiramisu.models.freezing import Freezable


def recalibrate_batch_norm(model: ImageModel, dataset: ImageDataset) -> ImageModel:
    """A copy of a model whose batch norm statistics are the plain mean over a (training) split.

    Whole images, one at a time, without augmentation and dropout: what the network will meet in
    use, where the running averages remember small augmented crops of the last few steps.

    Raises ValueError for images so small that a channel has one value.
    """
    model = copy.deepcopy(model)
    if isinstance(model.network, Freezable):
        model.network.unfreeze()  # what is frozen would not be measured
    device = model.device
    loader = make_loader(dataset, batch_size=1, shuffle=False, num_workers=0, seed=0)
    dropouts = [module for module in model.modules() if isinstance(module, _DropoutNd)]
    rates = [dropout.p for dropout in dropouts]
    for dropout in dropouts:
        dropout.p = 0.0
    bar = tqdm(loader, desc="measuring batch norm", disable=None, leave=False)
    try:
        update_bn((batch["image"].to(device) for batch in bar), model)
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ValueError(
            "batch norm's statistics cannot be measured on images so small that the network "
            "shrinks them to one pixel; expected sides of 64 pixels or more"
        ) from None
    for dropout, rate in zip(dropouts, rates, strict=True):
        dropout.p = rate
    return model.eval()


def use_batch_statistics(model: ImageModel) -> ImageModel:
    """A copy of a model that normalises each batch by the batch's own statistics.

    As the paper's authors evaluated, with batches of 10 consecutive frames. A prediction then
    depends on the other images of its batch, so name the mode beside every figure.
    """
    model = copy.deepcopy(model).eval()
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            # Without running statistics batch norm has only the batch to go by, in eval mode too.
            module.track_running_stats = False
            module.running_mean = module.running_var = None
    return model
