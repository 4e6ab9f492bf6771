"""Data without a split val -> the same data with train and val; folds of a cross-validation."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tiramisu.data.config import SourceOptions
from tiramisu.data.near_duplicates import find_near_duplicates
from tiramisu.data.spec import DatasetSpec
from tiramisu.data.spec_parts import FileSplit
from tiramisu.data.splitting.groups import join_where_possible, name_groups
from tiramisu.data.splitting.split_record import SplitRecord, read_record
from tiramisu.data.splitting.split_samples import FileKind, list_samples, read_facts
from tiramisu.data.splitting.stratify import Group, share_out
from tiramisu.text import list_some, path_text, show_path

VAL_FRACTION = 0.2
SEED = 1
MOST_COMPARED = 20_000
"""Images among which near-duplicates are looked for: their number is squared."""
_SHOWN = 3


def can_split(spec: DatasetSpec) -> bool:
    """Whether a data set has no split val, but a split train of files to take samples from."""
    return "val" not in spec.splits and isinstance(spec.splits.get("train"), FileKind)


def require_val(spec: DatasetSpec, split: str) -> None:
    """Raise ValueError, which names the flag, if a data set lacks the split to validate on."""
    if split == "val" and split not in spec.splits:
        raise ValueError(
            f"{spec.name}: there is no split val, and no split train of files to take samples from "
            "for it: give the name of another split by --val-split; its splits are "
            f"{', '.join(spec.splits)}"
        )


def split_data(
    spec: DatasetSpec,
    options: SourceOptions,
    *,
    root: str | Path | None = None,
    split_file: Path | None = None,
) -> DatasetSpec:
    """The data set with the splits train and val that the options ask for.

    Without a split file, every label and image is read once.

    Args:
        spec: the data set; without a split val, unless folds are asked for.
        options: how to split.
        root: folder of the files; None for the spec's own, or data/<name>.
        split_file: a split that was made before, in place of `options.split_file`.

    Raises:
        ValueError, OSError: the data cannot be split so; the message says why.
    """
    if spec.drawn:
        raise ValueError(
            f"{options.named_flags[0]} is given, but the samples of {spec.name} are drawn; its "
            f"splits are {', '.join(spec.splits)}"
        )
    file = split_file or (Path(options.split_file) if options.split_file else None)
    if file is not None:
        return _apply_file(spec, file, spec.find_root(root))
    if options.folds is not None:
        if options.fold is None:
            raise ValueError(
                f"--folds {options.folds} needs --fold, the one that is val, from 1 to "
                f"{options.folds}; `tiramisu folds` trains all"
            )
        return make_folds(spec, options, root=root)[options.fold - 1]
    if "val" in spec.splits:
        raise ValueError(
            f"{options.named_flags[0]} is given, but {spec.name} has a split val: leave the flag "
            "out, take the split away, or give --folds and --fold"
        )
    fraction = VAL_FRACTION if options.val_fraction is None else options.val_fraction
    samples = _Samples(spec, ("train",), options, root, parts=2)
    number = len(samples.facts)
    val = min(max(1, round(fraction * number)), number - 1)
    parts = samples.share_out([number - val, val])
    given = "" if options.val_fraction is None else f" (--val-fraction {fraction:g})"
    record = samples.record(parts, val=1, val_fraction=fraction)
    verb = "is" if len(record.val) == 1 else "are"
    note = f"there is no split val: {len(record.val)} of the {number} samples of train {verb} val"
    if not given:
        note += "; --val-fraction, --split-seed and --groups change this"
    return _with_record(spec, samples.base, record, notes=[note + given, *samples.notes(parts)])


def make_folds(
    spec: DatasetSpec, options: SourceOptions, *, root: str | Path | None = None
) -> list[DatasetSpec]:
    """The data set once for each fold, which is its val; the other folds are its train.

    The folds are made of all samples of train and, where the data have one, of val.

    Raises:
        ValueError, OSError: there are not enough samples, or train and val cannot be joined.
    """
    assert options.folds is not None
    folds = options.folds
    sources = ("train", "val") if "val" in spec.splits else ("train",)
    samples = _Samples(spec, sources, options, root, parts=folds)
    number = len(samples.facts)
    parts = samples.share_out([number / folds] * folds)
    notes = list(samples.notes(parts))
    made = []
    for fold in range(1, folds + 1):
        record = samples.record(parts, val=fold - 1, folds=folds, fold=fold)
        note = f"fold {fold} of {folds}: {len(record.val)} of the {number} samples of "
        note += f"{' and '.join(sources)} are val"
        made.append(_with_record(spec, samples.base, record, notes=[note, *notes]))
    return made


class _Samples:
    """The samples to share out, and what is known of them."""

    def __init__(
        self,
        spec: DatasetSpec,
        sources: tuple[str, ...],
        options: SourceOptions,
        root: str | Path | None,
        *,
        parts: int,
    ) -> None:
        self.spec, self.sources, self.options = spec, sources, options
        self.seed = SEED if options.split_seed is None else options.split_seed
        self.base = _join(spec, sources)
        readers = list_samples(spec, self.base, spec.find_root(root))
        if len(readers) < parts:
            raise ValueError(
                f"{spec.name} has too few samples in {' and '.join(sources)} ({len(readers)}) for "
                + (f"{parts} folds" if options.fold or options.folds else "a split val")
                + f"; expected {parts} or more"
            )
        names = name_groups(list(readers), options.groups)
        self.matched = sum(name.startswith("~") for name in names)
        self.facts = read_facts(list(readers.values()))
        self.pairs = self._find_pairs()
        self.groups, self.apart = join_where_possible(self.facts, names, self.pairs, parts=parts)
        if len(self.groups) < parts:
            one = len(self.groups) == 1
            raise ValueError(
                f"{spec.name}: the {len(readers)} samples of {' and '.join(sources)} are "
                f"{'one group' if one else f'{len(self.groups)} groups'} that must stay together"
                + (" by --groups" if options.groups else ", because they are copies of one image")
                + f"; expected {parts} groups or more"
            )

    def share_out(self, sizes: Sequence[float]) -> list[int]:
        """The part of each sample."""
        parts = [0] * len(self.facts)
        shared = share_out(self.groups, sizes=sizes, seed=self.seed)
        for group, part in zip(self.groups, shared, strict=True):
            for number in group.samples:
                parts[number] = part
        return parts

    def record(
        self,
        parts: Sequence[int],
        *,
        val: int,
        val_fraction: float | None = None,
        folds: int | None = None,
        fold: int | None = None,
    ) -> SplitRecord:
        names = [path_text(fact.name) for fact in self.facts]
        return SplitRecord(
            data=self.spec.name,
            made_of=self.sources,
            seed=self.seed,
            groups=self.options.groups,
            val_fraction=val_fraction,
            folds=folds,
            fold=fold,
            train=tuple(n for n, part in zip(names, parts, strict=True) if part != val),
            val=tuple(n for n, part in zip(names, parts, strict=True) if part == val),
        )

    def notes(self, parts: Sequence[int]) -> Iterator[str]:
        """What is worth knowing of the parts, in sentences."""
        if self.options.groups is not None:
            number = len(self.groups)
            note = f"--groups keeps the samples of each of {number} groups together"
            if alone := len(self.facts) - self.matched:
                note += f"; it matches {self.matched} of the {len(self.facts)} names, the others "
                note += f"({alone}) are each a group of their own"
            yield note
        apart = [(i, j) for i, j in self.apart if parts[i] != parts[j]]
        not_joined = set(self.apart)
        if together := [pair for pair in self.pairs if pair not in not_joined]:
            yield (
                f"{len(together)} {'pair shows' if len(together) == 1 else 'pairs show'} nearly "
                f"the same scene ({self._show_pairs(together)}): they are kept in one split"
            )
        if apart:
            yield (
                f"train and val have {len(apart)} pairs of nearly the same scene "
                f"({self._show_pairs(apart)}), so that the scores on val are too good: give a "
                'pattern of names such as --groups "^(video\\d+)" to keep them together'
            )
        yield from _alone(self.groups, self.spec, by=self.options.groups)

    def _find_pairs(self) -> list[tuple[int, int]]:
        if len(self.facts) > MOST_COMPARED:
            return []
        return find_near_duplicates(np.array([fact.fingerprint for fact in self.facts]))

    def _show_pairs(self, pairs: Sequence[tuple[int, int]]) -> str:
        names = [show_path(fact.name) for fact in self.facts]
        return list_some([f"{names[i]} = {names[j]}" for i, j in pairs], most=_SHOWN)


def _alone(groups: Sequence[Group], spec: DatasetSpec, *, by: str | None) -> Iterator[str]:
    """Classes that can be in one part only."""
    counts = Counter(c for group in groups for c in group.counts)
    single = [name for c, name in enumerate(spec.class_names) if counts[c] == 1]
    if single:
        where = "group" if by else "image"
        yield (
            f"only one {where} has {list_some(single, most=_SHOWN)}: "
            f"{'it' if len(single) == 1 else 'each'} can be in train or in val, but not in both"
        )


def _join(spec: DatasetSpec, sources: tuple[str, ...]) -> FileKind:
    """One split with the samples of all."""
    splits = [spec.splits.get(name) for name in sources]
    if not all(isinstance(split, FileKind) for split in splits):
        raise ValueError(
            f"{spec.name} has no split train of files to take samples from for val; its splits "
            f"are {', '.join(spec.splits)}"
        )
    files = [split for split in splits if isinstance(split, FileSplit)]
    if len(splits) == 1:
        (split,) = splits
        assert isinstance(split, FileKind)
        return split
    if len(files) < len(splits) or any(s.keys or s.list_file or s.part for s in files):
        raise ValueError(
            f"{spec.name} has a split val that cannot be joined with train for folds: expected "
            "masks in files, in splits without keys, list or part; or take the split val away"
        )
    patterns = dict.fromkeys(
        pair for split in files for pair in zip(split.images, split.masks, strict=True)
    )
    images, masks = zip(*patterns, strict=True)
    return FileSplit(images=images, masks=masks)


def _apply_file(spec: DatasetSpec, file: Path, root: Path) -> DatasetSpec:
    record = read_record(file)
    base = _join(spec, record.made_of)
    there = {path_text(name) for name in list_samples(spec, base, root)}
    missing = [name for name in (*record.train, *record.val) if name not in there]
    if missing:
        shown = list_some([show_path(name) for name in missing], most=_SHOWN)
        raise ValueError(
            f"{show_path(file)}: {len(missing)} of its {len(record.train) + len(record.val)} "
            f"samples are not in {spec.name} ({shown}); put them back, or make a new split"
        )
    note = f"train has {len(record.train)} samples and val {len(record.val)}, as in "
    note += show_path(file)
    if left_out := len(there) - len(record.train) - len(record.val):
        note += f"; {left_out} {'other is' if left_out == 1 else 'others are'} left out"
    return _with_record(spec, base, record, notes=[note])


def _with_record(
    spec: DatasetSpec, base: FileKind, record: SplitRecord, *, notes: Sequence[str]
) -> DatasetSpec:
    others = {name: split for name, split in spec.splits.items() if name not in ("train", "val")}
    splits = {
        "train": base.model_copy(update={"samples": record.train}),
        "val": base.model_copy(update={"samples": record.val}),
    }
    changes = {"splits": {**splits, **others}, "notes": (*spec.notes, *notes)}
    return spec.model_copy(update=changes).with_record(record)
