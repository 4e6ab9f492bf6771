"""The commands that evaluate, predict, export, compare and describe networks."""

from collections.abc import Sequence
from pathlib import Path

from tiramisu.benchmark.config import BenchmarkConfig
from tiramisu.checkpoints.config import PublishConfig
from tiramisu.evaluation.config import EvalConfig
from tiramisu.export.config import ExportConfig
from tiramisu.flags import Parser
from tiramisu.inference.config import ClassifyConfig, PredictConfig
from tiramisu.runs.config import CompareConfig, RunsConfig
from tiramisu.summary.config import SummaryConfig
from tiramisu.terminal import quieten_libraries
from tiramisu.visual.page_path import check_page_path


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

    if config.workers is not None or config.scheduler is not None:
        from tiramisu.jobs.evaluate_job import evaluate_job

        quieten_libraries()
        evaluate_job(config)
        return

    from tiramisu.evaluation.evaluate_checkpoint import evaluate_checkpoint
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

    from tiramisu.jobs.predict_job import needs_job, predict_job

    if needs_job(inputs, config):
        summary = predict_job(inputs, config=config)
        print(summary)
        summary.raise_failures()
        return

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
    check_page_path(config.report, overwrite=config.overwrite)

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
    check_page_path(config.report, overwrite=config.overwrite)

    from tiramisu.runs.compare_page import write_compare_page
    from tiramisu.runs.comparing import compare_models

    quieten_libraries()
    comparison = compare_models(config)
    print(comparison)
    if config.report is not None:
        write_compare_page(Path(config.report), comparison)
        print(f"\n{config.report} written")
