"""The statistics of batch norm in an evaluation: recalibrated, or those of each batch."""

import copy

from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.optim.swa_utils import update_bn
from tqdm import tqdm

from tiramisu.checkpoints.model import ImageModel
from tiramisu.data.dataset import ImageDataset
from tiramisu.data.loader import make_loader
from tiramisu.models.network import Network


def recalibrate_batch_norm(model: ImageModel, dataset: ImageDataset) -> ImageModel:
    """A copy of a model whose batch norm statistics are the mean over a data set.

    They are measured on whole images, one at a time, without augmentation and dropout, as the model
    is used. The running averages of training come from the small augmented crops of its last steps.

    Raises:
        ValueError: the images are so small that a channel has a single value.
    """
    model = copy.deepcopy(model)
    if isinstance(model.network, Network):
        model.network.unfreeze()  # statistics of frozen parts would stay as they are
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
    """A copy of a model that normalises each batch with the statistics of this batch.

    The paper's authors evaluated this way, with batches of 10 consecutive frames. A prediction then
    depends on the other images of its batch, so state the mode beside every score.
    """
    model = copy.deepcopy(model).eval()
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            # Without running statistics, batch norm uses those of the batch in evaluation mode too.
            module.track_running_stats = False
            module.running_mean = module.running_var = None
    return model
