"""An export: write a model for a runtime, compare it with PyTorch, and report."""

import contextlib
import dataclasses
import functools
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tiramisu.atomic import WriteError, make_folder, move_into_place, write_file
from tiramisu.checkpoints.checkpoint import load_model
from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.model import ImageModel
from tiramisu.checkpoints.model_files import find_results_folder
from tiramisu.checkpoints.run_folder import CHECKPOINTS
from tiramisu.checkpoints.trained_on import find_data
from tiramisu.data.dataset import ImageDataset, open_split
from tiramisu.evaluation.evaluate import evaluate
from tiramisu.evaluation.scores import FIGURES
from tiramisu.export.config import ExportConfig
from tiramisu.export.formats import check_packages, export_model, move_exported
from tiramisu.export.web_page import check_web_model, write_model_page
from tiramisu.export.web_runtime import find_web_runtime
from tiramisu.inference.exported import SUFFIX_OF, ExportedModel, load_exported

TOLERANCE = 1e-4
"""Largest difference of logits at which an fp32 export counts as equal to the PyTorch model, if no
logit is above 1; for larger logits it grows in proportion, as rounding errors do."""
PARITY_SIZES = ((1, 360, 480), (2, 131, 173))
"""Batch, height and width of the images on which the two are compared."""
ROUNDS = 3
"""Timed runs of each model, in turns; the median is reported."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parity:
    """The difference between the logits of an exported model and of the PyTorch model."""

    batch: int
    channels: int
    height: int
    width: int
    max_difference: float
    """Largest absolute difference of logits."""
    max_logit: float
    """Largest absolute logit of the PyTorch model."""
    agreement: float
    """Share of pixels (for a classifier, of images) with the same predicted class, 0..1."""

    @property
    def equal(self) -> bool:
        """Whether the logits differ only by rounding errors; False if one is NaN."""
        return self.max_difference < TOLERANCE * max(1.0, self.max_logit)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Accuracy:
    """The score before and after quantisation."""

    data: str
    split: str
    images: int
    """Number of images on which both were evaluated."""
    calibration_images: int
    figure: str
    """Name of the score: mean_iou, or top1 for a classifier."""
    score: float
    """Score of the exported model, 0..1."""
    score_fp32: float
    """Score of the PyTorch model, 0..1."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What was written and how it compares; stored as JSON beside the file."""

    file: str
    checkpoint: str
    arch: str
    format: str
    precision: str
    bytes: int
    """Size on disk, including the weights of an OpenVINO model."""
    parity: tuple[Parity, ...]
    seconds: float
    """Median time of a run on the first of the parity sizes."""
    seconds_pytorch: float
    """The same for the PyTorch model, run in turns with it."""
    threads: int
    accuracy: Accuracy | None = None
    """Only for int8."""


def export_checkpoint(config: ExportConfig) -> ExportReport:
    """Export a trained model; prints a report and writes it as JSON beside the file.

    The file takes its name only after it was compared with the PyTorch model: in fp32 it must be
    equal.

    Raises:
        ValueError, FileNotFoundError: the user has to change something; the message says what.
    """
    is_page = config.format == "html"
    graph_format = "onnx" if is_page else config.format  # a page holds an ONNX file
    check_packages(graph_format, int8=config.int8)
    model = load_model(config.checkpoint)
    if is_page:
        check_web_model(model.info)
    target = _target(config)
    report_path = target.with_name(f"{target.name}.json")
    if not config.overwrite:
        weights = [target.with_suffix(".bin")] if target.suffix == ".xml" else []
        for path in (target, *weights, report_path):
            if path.exists():
                raise ValueError(
                    f"{path} already exists; replace it with --overwrite, or give another --out"
                )
    calibration: list[Tensor] = []
    val: ImageDataset | None = None
    if config.int8:
        data, spec, root = find_data(
            model.info,
            checkpoint=config.checkpoint,
            data=config.data,
            data_root=config.data_root,
            options=config,
        )
        open_images = functools.partial(
            open_split,
            spec,
            root=root,
            image_scale=model.info.image_scale,
            image_size=model.info.seen_size,
            format=model.info.image_format,
        )
        train, val = open_images(config.train_split), open_images(config.val_split)
        order = np.random.default_rng(config.seed).permutation(len(train))[: config.samples]
        calibration = [train[int(index)]["image"][None] for index in sorted(order)]

    runtime = find_web_runtime(config.runtime) if is_page else None
    make_folder(target.parent)
    print(f"exporting {model.info.arch} to {target} ...", flush=True)
    with _draft_folder(target) as folder:
        graph = (folder / target.name).with_suffix(SUFFIX_OF[graph_format])
        draft = export_model(model, graph, calibration=calibration, int8=config.int8)
        exported = load_exported(draft)
        images = list(_parity_images(model.info))
        parity = tuple(compare(model, exported, batch) for batch in images)
        unequal = [p for p in parity if not p.equal]
        if unequal and not config.int8:
            worst = max(unequal, key=lambda parity: parity.max_difference)
            raise ValueError(
                f"the exported logits differ from PyTorch's by up to {worst.max_difference:.1e} "
                f"(the largest is {worst.max_logit:.2g}); {100 * worst.agreement:.2f} % have the "
                "same class: nothing was written; try another --format"
            )
        seconds_pytorch, seconds = _time_in_turns(model, exported, images[0])
        accuracy = None
        if val is not None:
            figure = FIGURES[val.spec.task][0].attribute
            before = evaluate(model, val, limit=config.limit)
            after = evaluate(exported, val, limit=config.limit)
            accuracy = Accuracy(
                data=data,
                split=config.val_split,
                images=min(config.limit or len(val), len(val)),
                calibration_images=len(calibration),
                figure=figure,
                score=getattr(after, figure),
                score_fp32=getattr(before, figure),
            )
        # OpenVINO keeps the file of the weights open as long as the model exists.
        del exported
        if runtime is not None:
            page = folder / target.name
            write_model_page(page, model=graph.read_bytes(), info=model.info, runtime=runtime)
            draft = page
        parts = [draft, draft.with_suffix(".bin")] if draft.suffix == ".xml" else [draft]
        report = ExportReport(
            file=str(target),
            checkpoint=config.checkpoint,
            arch=model.info.arch,
            format=config.format,
            precision="int8" if config.int8 else "fp32",
            bytes=sum(part.stat().st_size for part in parts),
            parity=parity,
            seconds=seconds,
            seconds_pytorch=seconds_pytorch,
            threads=torch.get_num_threads(),
            accuracy=accuracy,
        )
        written = folder / report_path.name
        write_file(written, json.dumps(dataclasses.asdict(report), indent=2) + "\n")
        move_exported(draft, target)
        move_into_place(written, report_path)
    print(format_report(report))
    return report


@contextlib.contextmanager
def _draft_folder(target: Path) -> Iterator[Path]:
    """A temporary folder beside the target; errors of writing there name the target."""
    try:
        with tempfile.TemporaryDirectory(prefix=".export-", dir=target.parent) as folder:
            yield Path(folder)
    except WriteError as error:
        raise WriteError(target, error.reason) from None


def compare(model: ImageModel, exported: ExportedModel, images: Tensor) -> Parity:
    """Run both models on images (B, C, H, W)."""
    with torch.inference_mode():
        expected = model(images).float()
        logits = exported(images)
    same = expected.argmax(dim=1) == logits.argmax(dim=1)
    return Parity(
        batch=images.shape[0],
        channels=images.shape[1],
        height=images.shape[2],
        width=images.shape[3],
        max_difference=float((expected - logits).abs().max()),
        max_logit=float(expected.abs().max()),
        agreement=float(same.float().mean()),
    )


def format_report(report: ExportReport) -> str:
    """The report as text."""
    megabytes = f"{report.bytes / 1e6:.1f} MB"
    lines = [f"{report.arch} as {report.format}, {report.precision}: {report.file}, {megabytes}"]
    for p in report.parity:
        lines.append(
            f"  against PyTorch, {p.batch}x{p.channels}x{p.height}x{p.width}: logits differ by at "
            f"most {p.max_difference:.1e}, {100 * p.agreement:.2f} % have the same class"
        )
    first = report.parity[0]
    lines.append(
        f"  {first.batch}x{first.channels}x{first.height}x{first.width} takes about "
        f"{report.seconds:.2g} s, PyTorch about {report.seconds_pytorch:.2g} s "
        f"({report.threads} threads; `tiramisu benchmark` measures)"
    )
    if report.accuracy is not None:
        a = report.accuracy
        # The difference of the rounded figures, so that the line adds up.
        drop = round(100 * a.score_fp32, 2) - round(100 * a.score, 2)
        change = f"{abs(drop):.2f} points {'lost' if drop >= 0 else 'gained'}"
        lines.append(
            f"  {a.figure} on {a.images} images of {a.data} {a.split}: {100 * a.score:.2f} %, in "
            f"fp32 {100 * a.score_fp32:.2f} %: {change} (calibrated on {a.calibration_images} "
            "images)"
        )
    return "\n".join(lines)


def _target(config: ExportConfig) -> Path:
    """The file to write."""
    suffix = ".html" if config.format == "html" else SUFFIX_OF[config.format]
    if config.out is not None:
        if Path(config.out).suffix != suffix:
            raise ValueError(
                f"--out is {config.out}; expected a name that ends in {suffix} for --format "
                f"{config.format}"
            )
        return Path(config.out)
    folder = find_results_folder(config.checkpoint)
    if folder.name == CHECKPOINTS:
        folder = folder.parent
    return folder / f"model{'_int8' if config.int8 else ''}{suffix}"


def _parity_images(info: ModelInfo) -> Iterator[Tensor]:
    """Random images (B, C, H, W) of a model's kind on which both models are compared."""
    size = info.image_size if info.task == "classification" else None
    sizes = ((1, *size), (2, size[0] + 5, size[1] + 8)) if size else PARITY_SIZES
    low, high = torch.tensor(info.value_range).T.view(2, -1, 1, 1)
    for batch, height, width in sizes:
        shape, generator = (batch, info.channels, height, width), torch.Generator().manual_seed(0)
        if info.pixel_type == "uint8":
            yield torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        else:
            yield low + (high - low) * torch.rand(shape, generator=generator)


def _time_in_turns(
    model: ImageModel, exported: ExportedModel, images: Tensor
) -> tuple[float, float]:
    """Median seconds of both, run in turns: other load on the machine then affects both alike."""
    times: dict[Callable[[Tensor], Tensor], list[float]] = {model: [], exported: []}
    with torch.inference_mode():
        for round_number in range(1 + ROUNDS):
            for run, seconds in times.items():
                started = time.perf_counter()
                run(images)
                if round_number > 0:  # the first round is a warm-up
                    seconds.append(time.perf_counter() - started)
    return statistics.median(times[model]), statistics.median(times[exported])
