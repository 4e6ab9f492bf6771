"""The settings of prediction: each field is a flag of `predict` or `predict_cls`. No torch here."""

import dataclasses
from typing import Annotated, Literal

from tiramisu.settings import (
    Accelerator,
    BatchSize,
    Count,
    Processes,
    Range,
    Share,
    TileSide,
    check_ranges,
    check_workers,
    explain,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """A prediction for every pixel of images or videos.

    Raises:
        ValueError: a field is out of its range, or two fields contradict each other.
    """

    checkpoint: str
    """Model: a run's folder, model.safetensors, a .ckpt, an exported .onnx, .xml or .pt2, the name
    of a model that comes with the package, or hf://USER/NAME. Several, separated by commas, or the
    folder of `tiramisu folds`, are an ensemble: their probabilities are averaged."""
    out: str = "predictions"
    """Folder for masks, overlays and JSON."""
    tile: TileSide = 1024
    """Side of overlapping tiles, in pixels; auto is 1024. An image that is not larger is predicted
    whole. If memory runs out, smaller tiles are used. off predicts every image whole."""
    tta: bool = False
    """Test-time augmentation: average over the scales 0.75, 1 and 1.25, each also mirrored."""
    uncertainty: bool = False
    """Monte Carlo dropout: predict the mean of several passes with random dropout, and write two
    heat maps: entropy (total uncertainty) and mutual information (where the passes disagree)."""
    mc_dropout: Annotated[int, Range(at_least=2, at_most=1000)] | None = None
    """Number of passes of --uncertainty; by default 20."""
    polygons: Literal["geojson", "coco"] | None = None
    """Write the connected regions of each class as polygons too: geojson, one file for each image,
    in the coordinates of its map or in pixels; or coco, one annotations.json for all images."""
    show_bands: list[Annotated[int, Range(at_least=1, at_most=512)]] | None = None
    """Three bands that overlays show as red, green and blue, or one as grey, by their numbers from
    1 among those that the network sees; by default the first three, or the only one."""
    opacity: Share = 0.5
    """Opacity of the colours in overlays: 0 shows only the image, 1 only the colours."""
    unpainted: list[str] | None = None
    """Classes that overlays leave unpainted, such as [Sky,Road]; by default a class that is called
    background (or bg, or the first of two classes without names). [] paints all classes."""
    probabilities: bool = False
    """Write the probabilities of all classes too: an .npz for each image with probabilities,
    float16 (C, H, W), and class_names."""
    class_masks: list[str] | None = None
    """Classes of which a mask of their own is written, such as [Road,Car]: white where the class
    is, black elsewhere."""
    recursive: bool = False
    """Take the images in folders within a folder too; the results keep this structure."""
    resume: bool = False
    """Go on with a prediction that was stopped: leave out inputs whose results are complete."""
    workers: Processes | None = None
    """Processes of this machine that share the work, and its cores or GPUs. The same command goes
    on where it was stopped."""
    scheduler: str | None = None
    """Address of a Dask scheduler whose workers do the work, such as tcp://HOST:8786."""
    retry_failed: bool = False
    """With --workers, --scheduler or URLs: try those again that are in failed.csv."""
    overwrite: bool = False
    """Replace earlier predictions in the folder."""
    accelerator: Accelerator = "auto"
    """Device to compute on; auto takes a GPU if there is one."""

    @property
    def passes(self) -> int:
        """Passes with random dropout; 0 for one pass without."""
        return (self.mc_dropout or 20) if self.uncertainty else 0

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.show_bands is not None and len(self.show_bands) not in (1, 3):
            raise ValueError(explain("show_bands", self.show_bands, "one band, or three"))
        if self.mc_dropout is not None and not self.uncertainty:
            raise ValueError("--mc-dropout is the number of passes of --uncertainty: give both")
        if self.probabilities and self.uncertainty:
            raise ValueError("--probabilities and --uncertainty: give one of them")
        if self.resume and self.overwrite:
            raise ValueError("--resume keeps what is done and --overwrite replaces it: give one")
        if self.resume and self.polygons == "coco":
            raise ValueError(
                "--resume with --polygons coco: the annotations of all images are one file, which "
                "cannot go on; give --overwrite, or --polygons geojson"
            )
        check_workers(self.workers, self.scheduler)
        if self.tta and self.uncertainty:
            raise ValueError("--tta and --uncertainty are two ways to average; give one of them")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassifyConfig:
    """A classification of images.

    Raises:
        ValueError: a field is out of its range.
    """

    checkpoint: str
    """Model: a run's folder, model.safetensors, a .ckpt, an exported .onnx, .xml or .pt2, the name
    of a model that comes with the package, or hf://USER/NAME. Several, separated by commas, or the
    folder of `tiramisu folds`, are an ensemble: their probabilities are averaged."""
    out: str = "predictions"
    """Folder for classes.csv and classes.json."""
    top: Count = 5
    """Number of classes to report for each image, the most probable first."""
    batch_size: BatchSize = 16
    """Images in a batch."""
    overwrite: bool = False
    """Replace earlier predictions in the folder."""
    accelerator: Accelerator = "auto"
    """Device to compute on; auto takes a GPU if there is one."""

    def __post_init__(self) -> None:
        check_ranges(self)
