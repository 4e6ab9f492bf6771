"""The settings of `tiramisu runs` and `tiramisu compare`. No torch in this file."""

import dataclasses

from tiramisu.data.config import SourceOptions, check_pattern
from tiramisu.settings import Accelerator, Count, Seed, TileSide, check_ranges


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunsConfig:
    """A list of runs.

    Raises:
        ValueError: a field has a value it may not have.
    """

    folder: str = "runs"
    """Folder with the folders of runs, also in folders within it."""
    report: str | None = None
    """HTML file to write: the same, with curves over one another."""
    overwrite: bool = False
    """Replace the file of --report if it exists."""

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompareConfig(SourceOptions):
    """A comparison of trained models on one split.

    Raises:
        ValueError: a field is out of its range, or there are fewer than two models.
    """

    models: list[str]
    """Models, each as --checkpoint takes it; all are compared with the first."""
    data: str | None = None
    """Data set: a name that comes with the package, a YAML file, or a folder; by default the one
    that the first model was trained on."""
    data_root: str | None = None
    """Folder with the files of the data set; by default the one used in training."""
    split: str = "val"
    """Split to evaluate on."""
    limit: Count | None = None
    """Evaluate only so many images, at even distances over the split."""
    seed: Seed = 1
    """Seed of the resampling of images."""
    together: str | None = None
    """Pattern (a regular expression) of what names of images of one video, or one patient, have in
    common, such as "^[^_]+": these are resampled together, because they are alike. By default every
    image is taken to be independent of the others."""
    tile: TileSide = 1024
    """Side of overlapping tiles, in pixels, as in `tiramisu eval`."""
    report: str | None = None
    """HTML file to write: the same, with the images that got better and worse."""
    overwrite: bool = False
    """Replace the file of --report if it exists."""
    accelerator: Accelerator = "auto"
    """Device to compute on; auto takes a GPU if there is one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_pattern("together", self.together)
        if len(self.models) < 2:
            given = f"{len(self.models)} is" if self.models else "none is"
            raise ValueError(f"a comparison needs two models or more; {given} given")
