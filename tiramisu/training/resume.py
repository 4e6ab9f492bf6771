"""What is checked before a run is resumed."""

from pathlib import Path

from tiramisu.checkpoints.model_files import read_checkpoint
from tiramisu.checkpoints.run_folder import CONFIG_NAME, LAST, find_run, read_settings
from tiramisu.devices import is_main_process
from tiramisu.training.config import TrainConfig
from tiramisu.training.history import HISTORY_NAME, read_history
from tiramisu.training.optim import lr_factor
from tiramisu.training.run_settings import settings_of

CHANGEABLE = (
    "epochs",
    "patience",
    "keep",
    "data_root",
    "check_data",
    "out",
    "cache",
    "num_workers",
    "eval_batch_size",
    "accelerator",
    "compile",
    "channels_last",
    "memory_efficient",
)
"""Settings that a resumed run may change: none of them changes what an epoch learns."""


def check_resume(config: TrainConfig) -> None:
    """Check that a run can be resumed with these settings; prints what another length means.

    Raises:
        FileNotFoundError: there is no such run, or its first epoch is not complete.
        ValueError: settings differ that a resumed run may not change, its last checkpoint is
            damaged, or `max_steps` has ended it.
    """
    assert config.resume is not None
    folder = find_run(config.resume)
    saved = read_settings(folder / CONFIG_NAME)
    for name, value in settings_of(config).items():
        if name in saved and name not in CHANGEABLE and value != saved[name]:
            raise ValueError(
                f"--{name.replace('_', '-')} is {value}, but the run {config.resume} was started "
                f"with {saved[name]}; a resumed run may change only {', '.join(CHANGEABLE)}. To "
                "train on with other settings, start a new run with --init-from"
            )
    # Its schedule is over, and Lightning counts epochs wrongly when it goes on from there.
    steps = read_checkpoint(folder / LAST)["global_step"]
    if config.max_steps is not None and steps >= config.max_steps:
        raise ValueError(
            f"the run {config.resume} is complete: it has done its --max-steps {config.max_steps}. "
            f"To train on, start a new run with --init-from {config.resume}"
        )
    planned = saved.get("epochs", config.epochs)
    if planned != config.epochs and is_main_process():
        _announce_other_length(config, folder, planned=planned)


def _announce_other_length(config: TrainConfig, folder: Path, *, planned: int) -> None:
    """Say what happens to the learning rate when a resumed run gets more epochs, or fewer."""
    done = len(read_history(folder / HISTORY_NAME))
    rate = config.lr * lr_factor(config, epoch=done, epochs=config.epochs)
    print(
        f"--epochs {config.epochs} in place of {planned}: from now on the learning rate follows "
        f"the schedule of {config.epochs} epochs; it is {rate:.3g} after epoch {done}"
        + (". The final epochs are the last of all epochs" if config.final_epochs else "")
    )
