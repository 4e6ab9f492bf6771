"""The commands that read, convert and download data sets."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tiramisu.data.config import CheckConfig, ConvertConfig, DownloadConfig
from tiramisu.flags import Parser
from tiramisu.visual.page_path import check_page_path

if TYPE_CHECKING:
    from tiramisu.data.readers.reader import Pool


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
    check_page_path(config.report, overwrite=config.overwrite)

    from tiramisu.data.catalog import load_spec
    from tiramisu.data.checking.check import check_dataset

    is_whole = config.splits is not None and "val" not in config.splits
    root = Path(config.data_root) if config.data_root else None
    val_split = None if is_whole else "val"
    spec = load_spec(config.data, config, root=root, val_split=val_split)
    with _open_pool(config) as pool:
        report = check_dataset(spec, root=root, splits=config.splits, pool=pool)
    print(report)
    if config.report is not None:
        from tiramisu.visual.check_page import write_check_page

        write_check_page(report, spec, Path(config.report), root=root)
        print(f"{config.report} written")


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
    root, out = config.data_root, Path(config.out)
    with _open_pool(config) as pool:
        written = convert_dataset(spec, out, root=root, overwrite=config.overwrite, pool=pool)
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


@contextmanager
def _open_pool(config: CheckConfig | ConvertConfig) -> "Iterator[Pool | None]":
    """The workers that were asked for; None for a pool of this machine."""
    if config.workers is None and config.scheduler is None:
        yield None
        return
    from tiramisu.jobs.cluster import open_workers

    with open_workers(number=config.workers, scheduler=config.scheduler) as workers:
        yield workers
