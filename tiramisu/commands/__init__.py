"""The commands, one function each, which take their arguments as on the command line.

train_commands  train, plan and folds
model_commands  what is done with trained models and networks
data_commands   check, convert and download data sets

The commands import torch and Lightning only when they run, so that --help is answered at once.
"""

from collections.abc import Callable, Sequence

from tiramisu.commands.data_commands import check, convert, download
from tiramisu.commands.model_commands import (
    benchmark,
    compare,
    evaluate,
    evaluate_classifier,
    export,
    list_runs,
    predict,
    predict_classes,
    publish,
    summary,
)
from tiramisu.commands.train_commands import folds, folds_classifier, plan, train, train_classifier

COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "train": train,
    "plan": plan,
    "eval": evaluate,
    "predict": predict,
    "folds": folds,
    "train_cls": train_classifier,
    "folds_cls": folds_classifier,
    "eval_cls": evaluate_classifier,
    "predict_cls": predict_classes,
    "export": export,
    "publish": publish,
    "benchmark": benchmark,
    "summary": summary,
    "runs": list_runs,
    "compare": compare,
    "check": check,
    "convert": convert,
    "download": download,
}
