"""Publishing a trained model: in a folder with Hugging Face's layout, and on the Hub."""

from pathlib import Path

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from tiramisu.atomic import make_folder, write_file
from tiramisu.checkpoints.checkpoint import load_model
from tiramisu.checkpoints.config import PublishConfig
from tiramisu.checkpoints.hub import CARD_NAME
from tiramisu.checkpoints.info import HUB_CONFIG_NAME


def halve_weights(network: nn.Module) -> None:
    """Convert all weights to float16, except batch norm's, whose variances may be too large for it.

    Raises:
        ValueError: a weight is too large for float16.
    """
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            continue
        for parameter in module.parameters(recurse=False):
            parameter.data = parameter.data.half()
            if not parameter.data.isfinite().all():
                raise ValueError("--half: a weight is too large for fp16; publish without --half")


def publish_checkpoint(config: PublishConfig) -> None:
    """Write or upload a model and print where it is.

    Args:
        config: which model, and where it goes.

    Raises:
        ValueError: there is no such model, or the folder must not be overwritten.
        OSError: the Hub cannot be reached.
    """
    model = load_model(config.checkpoint)
    if config.half:
        halve_weights(model.network)
    if config.out is not None:
        folder = make_folder(Path(config.out))
        if any(folder.iterdir()):
            if not (folder / HUB_CONFIG_NAME).is_file():
                raise ValueError(
                    f"--out {folder} holds files that are not a published model; choose another "
                    "folder"
                )
            if not config.overwrite:
                raise ValueError(
                    f"--out {folder} already holds a model; replace it and its card by "
                    "--overwrite, or choose another folder"
                )
        write_file(folder / CARD_NAME, str(model.generate_model_card()))
        model.save_pretrained(folder)  # keeps the card that it finds
        print(f"the model is in {folder}; read its card, {CARD_NAME}, before you share it")
    if config.push is not None:
        print(f"uploaded: {model.push_to_hub(config.push, private=config.private)}")
