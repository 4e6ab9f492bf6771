"""The settings of `tiramisu check` and `tiramisu download`. No torch in this file."""

import dataclasses

from tiramisu.settings import check_ranges, explain


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckConfig:
    """A check of a data set.

    Raises:
        ValueError: a field has a value it may not have.
    """

    data: str
    """Data set: a name that comes with the package, a YAML file, or a folder."""
    data_root: str | None = None
    """Folder of its files; by default the root in its YAML, or data/NAME."""
    splits: list[str] | None = None
    """Splits to check, such as [train,val]; by default train, val and test."""

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.splits is not None and (
            not self.splits or len(set(self.splits)) < len(self.splits)
        ):
            raise ValueError(explain("splits", self.splits, "one name or more, each once"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class DownloadConfig:
    """A download of a data set.

    Raises:
        ValueError: a field has a value it may not have.
    """

    data: str
    """Data set: a name that comes with the package, or a YAML file with a source."""
    data_root: str | None = None
    """Folder to download it to; by default data/NAME."""

    def __post_init__(self) -> None:
        check_ranges(self)
