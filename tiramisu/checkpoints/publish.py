"""A trained model for others: in a folder of Hugging Face's layout, and on its Hub."""

from pathlib import Path

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from tiramisu.checkpoints.checkpoint import load_model
from tiramisu.checkpoints.config import PublishConfig
from tiramisu.checkpoints.hub import CARD_NAME
from tiramisu.checkpoints.info import HUB_CONFIG_NAME
from tiramisu.checkpoints.run_folder import make_folder


def halve_weights(network: nn.Module) -> None:
    """Make all weights float16 but batch norm's, whose variances may pass its largest number."""
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            continue
        for parameter in module.parameters(recurse=False):
            parameter.data = parameter.data.half()
            if not parameter.data.isfinite().all():
                raise ValueError("--half: a weight is too large for 16 bit; publish without it")


def publish_checkpoint(config: PublishConfig) -> None:
    """Write and upload a model, as the settings say; prints where it is.

    Raises:
        ValueError, OSError: something the user can mend; the message says how.
    """
    model = load_model(config.checkpoint)
    if config.half:
        halve_weights(model.network)
    if config.out is not None:
        folder = make_folder(Path(config.out))
        if any(folder.iterdir()):
            if not (folder / HUB_CONFIG_NAME).is_file():
                raise ValueError(
                    f"--out {folder} holds something else than a published model; choose another "
                    "folder"
                )
            if not config.overwrite:
                raise ValueError(
                    f"--out {folder} already holds a model; replace it, and its card, by "
                    "--overwrite, or choose another folder"
                )
            # save_pretrained, as everywhere, keeps a card that is there.
            (folder / CARD_NAME).unlink(missing_ok=True)
        model.save_pretrained(folder)
        print(f"the model is in {folder}; read its card, {CARD_NAME}, before you hand it on")
    if config.push is not None:
        print(f"uploaded: {model.push_to_hub(config.push, private=config.private)}")
