"""What to do after a training that failed, and what is kept of it."""

from tiramisu.devices import is_out_of_memory
from tiramisu.text import in_one_line
from tiramisu.training.config import TrainConfig
from tiramisu.training.preparing import PreparedRun
from tiramisu.training.user_parts import SERVICES


def explain_failure(error: BaseException, prepared: PreparedRun) -> str | None:
    """The message for an error of `fit` that the user can mend; None for others."""
    if not isinstance(error, Exception):
        return None
    config = prepared.config
    service = type(error).__module__.partition(".")[0]
    if service in SERVICES:  # such as a login that is missing
        return f"--logger {service} fails: {in_one_line(error)}; {prepared.how_to_go_on}"
    in_validation = prepared.keeper.error is error
    if isinstance(error, RuntimeError) and "DataLoader worker" in str(error):
        # It was ended by a signal, or by the system.
        return (
            f"a loading process was ended from outside ({in_one_line(error)}): if the memory "
            f"is too small, give fewer --num-workers; {prepared.how_to_go_on}"
        )
    if is_out_of_memory(error):
        if in_validation:
            return (
                "the memory is too small for the validation, though not for the training: "
                f"{prepared.how_to_go_on}, {_less_for_validation(config)}"
            )
        return _explain_training(prepared)
    if in_validation and isinstance(error, ValueError):
        return f"the validation failed: {error}. Once that is mended, {prepared.how_to_go_on}"
    return None


def explain_evaluation(prepared: PreparedRun) -> str:
    """The message for memory that ran out in the evaluation after the training."""
    return (
        "the memory is too small to evaluate the trained model, which is saved in "
        f"{prepared.folder}: go on with --resume {prepared.folder}, "
        f"{_less_for_validation(prepared.config)}"
    )


def _less_for_validation(config: TrainConfig) -> str:
    flags = ["--tile auto" if config.tile == "off" else "a smaller --tile"]
    flags += ["--eval-batch-size 1"] if config.eval_batch_size > 1 else []
    return f"with {' and '.join(flags)}, or where more memory is free"


def _explain_training(prepared: PreparedRun) -> str:
    config, final_from = prepared.config, prepared.config.final_from
    if final_from is not None and prepared.trainer.current_epoch >= final_from > 0:
        return (
            f"the memory is too small for whole images, {config.batch_size} at a time, in the "
            f"final epochs: the epochs before them are kept in {prepared.folder}. Go on with a new "
            "run with --init-from that folder, a smaller --batch-size, and --epochs equal to "
            "--final-epochs"
        )
    if config.crop is None:
        smaller = "a --crop, such as --crop [256,256], a smaller --image-scale"
        smaller += ", or a smaller --batch-size" if config.batch_size > 1 else ""
    else:
        smaller = "a smaller --batch-size (and --accumulate to make up for it) or a smaller --crop"
    kept = f"; {prepared.how_to_go_on}" if prepared.checkpoint is not None else ""
    return f"the memory is too small for this training: give {smaller}{kept}"
