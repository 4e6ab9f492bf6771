"""The commands, one function each, which take their arguments as on the command line."""

from collections.abc import Callable, Sequence
from pathlib import Path

from tiramisu.benchmark.config import BenchmarkConfig
from tiramisu.checkpoints.config import PublishConfig
from tiramisu.data.config import CheckConfig, ConvertConfig, DownloadConfig
from tiramisu.evaluation.config import EvalConfig
from tiramisu.export.config import ExportConfig
from tiramisu.flags import Parser
from tiramisu.inference.config import ClassifyConfig, PredictConfig
from tiramisu.runs.config import CompareConfig, RunsConfig
from tiramisu.summary.config import SummaryConfig
from tiramisu.terminal import quieten_libraries
from tiramisu.train_commands import folds, folds_classifier, plan, train, train_classifier

# The commands import torch and Lightning only when they run, so that --help is answered at once.


def evaluate(argv: Sequence[str]) -> None:
    """Evaluate a model for segmentation."""
    _evaluate("eval", argv, measures="IoU per class, mean IoU, accuracy")


def evaluate_classifier(argv: Sequence[str]) -> None:
    """Evaluate a classifier."""
    _evaluate("eval_cls", argv, measures="top-1 and top-5 accuracy, recall and precision per class")


def _evaluate(command: str, argv: Sequence[str], *, measures: str) -> None:
    parser = Parser(
        command,
        description=f"Evaluate a trained model on a whole split: {measures}.",
        usage="%(prog)s --checkpoint RUN [--data NAME] [--split NAME] [options]",
    )
    parser.add_config(EvalConfig)
    config = EvalConfig(**parser.parse_flags(argv))

    from tiramisu.evaluation.evaluate import evaluate_checkpoint
    from tiramisu.inference.load import load_predictor

    quieten_libraries()
    model = load_predictor(config.checkpoint, accelerator=config.accelerator)
    evaluate_checkpoint(config, model=model)


def predict(argv: Sequence[str]) -> None:
    """Predict the class of every pixel of images and videos."""
    parser = Parser(
        "predict",
        description="Predict the class of every pixel of images, maps (GeoTIFF) and videos. Writes "
        "a mask of class ids, an overlay, and the fraction of the pixels of each class as JSON.",
        usage="%(prog)s INPUT [INPUT ...] --checkpoint RUN [--out DIR] [options]",
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="Image, video, folder, or pattern such as '*.jpg'",
    )
    parser.add_config(PredictConfig)
    values = parser.parse_flags(argv)
    inputs = values.pop("inputs")
    config = PredictConfig(**values)

    from tiramisu.inference.files import predict_files
    from tiramisu.inference.load import load_predictor

    model = load_predictor(config.checkpoint, accelerator=config.accelerator)
    written = predict_files(model, inputs, config=config)
    print(f"{len(written)} files written to {config.out}")


def predict_classes(argv: Sequence[str]) -> None:
    """Classify images."""
    parser = Parser(
        "predict_cls",
        description="Classify images. Prints the most probable classes of each, and writes them as "
        "CSV and JSON.",
        usage="%(prog)s INPUT [INPUT ...] --checkpoint RUN [--out DIR] [options]",
    )
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="Image, folder, or pattern such as '*.jpg'"
    )
    parser.add_config(ClassifyConfig)
    values = parser.parse_flags(argv)
    inputs = values.pop("inputs")
    config = ClassifyConfig(**values)

    from tiramisu.inference.classify import classify_files
    from tiramisu.inference.load import load_predictor

    model = load_predictor(config.checkpoint, accelerator=config.accelerator)
    classify_files(model, inputs, config=config)


def export(argv: Sequence[str]) -> None:
    """Write a trained model for ONNX Runtime, OpenVINO, torch.export or a browser."""
    parser = Parser(
        "export",
        description="Write a trained model as a file (two for openvino) that runs without its "
        "PyTorch code, and compare its outputs with those of PyTorch. `predict`, `eval`, "
        "`predict_cls` and `eval_cls` take the file as --checkpoint; html is a web page that runs "
        "the model on photos of whoever opens it.",
        usage="%(prog)s --checkpoint RUN [--format onnx|openvino|pt2|html] [--int8] [options]",
    )
    parser.add_config(ExportConfig)
    config = ExportConfig(**parser.parse_flags(argv))

    from tiramisu.export.exporting import export_checkpoint

    quieten_libraries()
    export_checkpoint(config)


def publish(argv: Sequence[str]) -> None:
    """Write a trained model in Hugging Face's layout, or upload it."""
    parser = Parser(
        "publish",
        description="Write a trained model in Hugging Face's layout, with a model card made from "
        "its run; --push uploads it. Then --checkpoint hf://USER/NAME loads it in every command.",
        usage="%(prog)s --checkpoint RUN [--out FOLDER] [--push USER/NAME] [options]",
    )
    parser.add_config(PublishConfig)
    config = PublishConfig(**parser.parse_flags(argv))

    from tiramisu.checkpoints.publish import publish_checkpoint

    publish_checkpoint(config)


def benchmark(argv: Sequence[str]) -> None:
    """Measure time and memory of networks, and compare them."""
    parser = Parser(
        "benchmark",
        description="Measure time, throughput and peak memory of networks that run alternately, "
        "and compare each with the first. Without --arch, --mode, --size, --batch, --contenders "
        "and --study: the comparisons of docs/speed.md.",
        usage="%(prog)s [--arch NAME] [--mode infer|train] [--size [H,W]] [--batch N] [options]",
    )
    parser.add_config(BenchmarkConfig)
    config = BenchmarkConfig(**parser.parse_flags(argv))

    from tiramisu.benchmark.benchmark import run_benchmark

    quieten_libraries()
    run_benchmark(config)


def summary(argv: Sequence[str]) -> None:
    """Print or draw the blocks of a network, with channels, parameters and multiply-adds."""
    parser = Parser(
        "summary",
        description="Print a network block by block, like table 2 of the FC-DenseNet paper, with "
        "output channels, parameters and multiply-adds. Or print its layers, or draw it.",
    )
    parser.add_config(SummaryConfig)
    config = SummaryConfig(**parser.parse_flags(argv))

    from tiramisu.models import build_model
    from tiramisu.models.zoo import find_entry

    usual = find_entry(config.arch)
    height, width = config.size or usual.size
    num_classes = usual.num_classes if config.num_classes is None else config.num_classes
    if config.graph is not None:
        from tiramisu.summary.drawing import check_picture_path

        check_picture_path(Path(config.graph))
        if Path(config.graph).exists() and not config.overwrite:
            raise ValueError(f"{config.graph} exists already; give --overwrite, or another file")
    network = build_model(config.arch, num_classes=num_classes)
    if config.table:
        from tiramisu.summary.tables import format_layers, list_layers

        print(format_layers(list_layers(network, height=height, width=width)))
    elif config.graph is None:
        from tiramisu.summary.tables import format_summary, summarize

        print(format_summary(summarize(network, height=height, width=width)))
    if config.graph is not None:
        from tiramisu.summary.drawing import draw_network

        draw_network(network, config.graph, height=height, width=width, title=config.arch)
        print(f"{config.graph} written")


def check(argv: Sequence[str]) -> None:
    """Check all files of a data set, and list all problems."""
    parser = Parser(
        "check",
        description="Read every image and label of a data set, and list all problems. Without "
        "problems, print its counts and what is conspicuous, with a suggestion for each.",
    )
    parser.add_data()
    parser.add_config(CheckConfig)
    config = CheckConfig(**parser.parse_flags(argv))
    _check_report(config.report, overwrite=config.overwrite)

    from tiramisu.data.catalog import load_spec
    from tiramisu.data.checking.check import check_dataset

    is_whole = config.splits is not None and "val" not in config.splits
    root = Path(config.data_root) if config.data_root else None
    val_split = None if is_whole else "val"
    spec = load_spec(config.data, config, root=root, val_split=val_split)
    report = check_dataset(spec, root=root, splits=config.splits)
    print(report)
    if config.report is not None:
        from tiramisu.visual.check_page import write_check_page

        write_check_page(report, spec, Path(config.report), root=root)
        print(f"{config.report} written")


def list_runs(argv: Sequence[str]) -> None:
    """List runs: scores, time, and the settings in which they differ."""
    parser = Parser(
        "runs",
        description="List the runs in a folder with their data, network, scores, time, date and "
        "seed, and the settings in which runs of the same data differ.",
        usage="%(prog)s [FOLDER] [--report FILE.html]",
    )
    parser.add_argument(
        "folder",
        nargs="?",
        default="runs",
        metavar="FOLDER",
        help="Folder with the folders of runs; by default runs",
    )
    parser.add_config(RunsConfig)
    config = RunsConfig(**parser.parse_flags(argv))
    _check_report(config.report, overwrite=config.overwrite)

    from tiramisu.runs.run_summary import find_runs
    from tiramisu.runs.runs_list import format_runs, write_runs_page

    runs = find_runs(Path(config.folder))
    print(format_runs(runs))
    if config.report is not None:
        write_runs_page(Path(config.report), runs, title=f"Runs in {config.folder}")
        print(f"{config.report} written")


def compare(argv: Sequence[str]) -> None:
    """Compare trained models on one split: classes, images, and whether it is more than chance."""
    parser = Parser(
        "compare",
        description="Evaluate models on one split and compare all with the first: per class, per "
        "image, and whether a difference is more than chance (resampling of the images).",
        usage="%(prog)s RUN RUN [RUN ...] [--report FILE.html] [options]",
    )
    parser.add_argument("models", nargs="+", metavar="RUN", help="Models, as --checkpoint")
    parser.add_config(CompareConfig)
    config = CompareConfig(**parser.parse_flags(argv))
    _check_report(config.report, overwrite=config.overwrite)

    from tiramisu.runs.compare_page import write_compare_page
    from tiramisu.runs.comparing import compare_models

    quieten_libraries()
    comparison = compare_models(config)
    print(comparison)
    if config.report is not None:
        write_compare_page(Path(config.report), comparison)
        print(f"\n{config.report} written")


def _check_report(report: str | None, *, overwrite: bool) -> None:
    """Raise ValueError if there cannot be a page where --report says."""
    if report is not None:
        from tiramisu.visual.page import check_page_path

        check_page_path(Path(report), overwrite=overwrite)


def convert(argv: Sequence[str]) -> None:
    """Write a data set as a folder of images and masks."""
    parser = Parser(
        "convert",
        description="Write a data set for segmentation, such as the annotations of a labelling "
        "tool, as a folder: images/SPLIT, masks/SPLIT, classes.txt and a YAML file. Every command "
        "takes the folder, and the source itself, as --data.",
    )
    parser.add_argument(
        "data",
        type=str,
        metavar="SRC",
        help="Data set: a folder, a file of annotations, a YAML file, or a name that comes with "
        "the package",
    )
    parser.add_argument("out", type=str, metavar="DST", help="Folder to write")
    parser.add_config(ConvertConfig)
    config = ConvertConfig(**parser.parse_flags(argv))

    from tiramisu.data.catalog import load_spec
    from tiramisu.data.converting import convert_dataset

    spec = load_spec(config.data, config, root=config.data_root)
    written = convert_dataset(
        spec, Path(config.out), root=config.data_root, overwrite=config.overwrite
    )
    print(f"{written} images and masks written to {config.out}")


def download(argv: Sequence[str]) -> None:
    """Download a data set and verify every file."""
    parser = Parser(
        "download",
        description="Download a data set, and verify every file by its checksum. If it is "
        "interrupted, the same command continues.",
    )
    parser.add_argument(
        "data",
        type=str,
        metavar="DATA",
        help="Data set: a name that comes with the package, or a YAML file with a source",
    )
    parser.add_config(DownloadConfig)
    config = DownloadConfig(**parser.parse_flags(argv))

    from tiramisu.data.catalog import load_spec
    from tiramisu.data.downloading.download import download_dataset

    download_dataset(load_spec(config.data), config.data_root)


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
