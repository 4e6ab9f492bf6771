"""A data set's YAML file -> DatasetSpec. Every error names the file, the line and the fix."""

from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from tiramisu.data.files import WILDCARD
from tiramisu.data.labels import IGNORE_INDEX, MAX_CLASSES, Encoding, LabelTable
from tiramisu.data.table import (
    DatasetSpec,
    DrawnSplit,
    FileSplit,
    PublishedResult,
    Source,
    distinct_colors,
)
from tiramisu.data.yaml_file import Place, YamlFile


def parse_spec(path: Path) -> DatasetSpec:
    """Reads and checks a data set's YAML file. Raises ValueError with file, line and fix."""
    return _SpecFile(path).spec()


class _SpecFile(YamlFile):
    def spec(self) -> DatasetSpec:
        fields = self.mapping(
            (),
            self.content,
            required=("name", "title", "classes", "splits"),
            optional=("encoding", "ignore", "drawn", "source", "published", "root"),
        )
        encoding: Encoding = self.choice(
            ("encoding",), fields.get("encoding", "index"), get_args(Encoding)
        )
        names, colors, raw = self.classes(fields["classes"], encoding)
        labels = LabelTable(
            encoding=encoding,
            raw=raw,
            ignore=self.ignore(fields.get("ignore"), encoding, raw),
        )
        root = self.text(("root",), fields["root"]) if "root" in fields else None
        return DatasetSpec(
            name=self.text(("name",), fields["name"]),
            title=self.text(("title",), fields["title"]),
            class_names=names,
            colors=np.array(colors, dtype=np.uint8),
            labels=labels,
            splits=self.splits(fields["splits"], fields.get("drawn")),
            source=self.source(fields["source"]) if "source" in fields else None,
            published=self.published(fields.get("published", []), len(names)),
            root=self.path.parent / Path(root).expanduser() if root else None,
        )

    def classes(
        self, entries: Any, encoding: Encoding
    ) -> tuple[tuple[str, ...], list[tuple[int, int, int]], tuple[tuple[int, ...], ...]]:
        """Names, colours and codes, in class order."""
        place: Place = ("classes",)
        names: list[str] = []
        given: list[tuple[int, int, int] | None] = []
        raw: list[tuple[int, ...]] = []
        if not 1 <= len(self.sequence(place, entries)) <= MAX_CLASSES:
            self.fail(place, f"{len(entries)} classes; 1 to {MAX_CLASSES} can be told apart")
        for i, entry in enumerate(entries):
            here = (*place, i)
            if isinstance(entry, str):  # short form: just the name
                entry = {"name": entry}
            fields = self.mapping(here, entry, required=("name",), optional=("color", "raw"))
            names.append(self.text((*here, "name"), fields["name"]))
            color = self.color((*here, "color"), fields["color"]) if "color" in fields else None
            given.append(color)
            if "raw" in fields:
                values = self.sequence((*here, "raw"), fields["raw"])
                codes = [self.code((*here, "raw", j), v, encoding) for j, v in enumerate(values)]
                raw.append(tuple(codes))
            elif encoding == "index":
                raw.append((i,))
            elif color is not None:
                raw.append((_pack(color),))
            else:
                self.fail(here, "with `encoding: rgb` a class needs a color: [r, g, b]")

        self.distinct(((*place, i), f"the name {name!r}") for i, name in enumerate(names))
        self.distinct(((*place, i), f"the color {list(c)}") for i, c in enumerate(given) if c)
        show = LabelTable(encoding=encoding, raw=(), ignore=()).show
        self.distinct(
            ((*place, i), f"the raw value {show(code)}")
            for i, codes in enumerate(raw)
            for code in codes
        )
        spare = iter(distinct_colors(len(given), taken={c for c in given if c}))
        return tuple(names), [c or next(spare) for c in given], tuple(raw)

    def ignore(
        self, value: Any, encoding: Encoding, raw: tuple[tuple[int, ...], ...]
    ) -> tuple[int, ...] | Literal["others"]:
        place: Place = ("ignore",)
        named = {code: i for i, codes in enumerate(raw) for code in codes}
        if value is None:  # 255 is void by custom, unless a class claims it
            return (IGNORE_INDEX,) if encoding == "index" and IGNORE_INDEX not in named else ()
        if value == "others":
            return "others"
        if not isinstance(value, list):
            self.fail(place, f"expected a list of raw values or the word others, not {value!r}")
        codes = tuple(self.code((*place, j), v, encoding) for j, v in enumerate(value))
        for j, code in enumerate(codes):
            if code in named:
                first = self.line(("classes", named[code]))
                self.fail((*place, j), f"{value[j]} is also a class (line {first}); remove one")
        return codes

    def splits(self, value: Any, drawn: Any) -> dict[str, FileSplit | DrawnSplit]:
        splits: dict[str, FileSplit | DrawnSplit] = {}
        size = {}
        if drawn is not None:
            fields = self.mapping(("drawn",), drawn, required=("height", "width"))
            size = {key: self.number(("drawn", key), v, int, 1) for key, v in fields.items()}
        for name, entry in self.mapping(("splits",), value).items():
            place: Place = ("splits", name)
            if size:
                fields = self.mapping(place, entry, required=("first_seed", "count"))
                first = self.number((*place, "first_seed"), fields["first_seed"], int, 0)
                count = self.number((*place, "count"), fields["count"], int, 1)
                splits[str(name)] = DrawnSplit(first_seed=first, count=count, **size)
            else:
                splits[str(name)] = self.file_split(place, entry)
        if not splits:
            self.fail(("splits",), "no split; a data set needs at least train and val")
        return splits

    def file_split(self, place: Place, entry: Any) -> FileSplit:
        fields = self.mapping(place, entry, required=("images", "masks"), optional=("keys", "list"))
        images = self.patterns((*place, "images"), fields["images"])
        masks = self.patterns((*place, "masks"), fields["masks"])
        if len(images) != len(masks):
            self.fail(
                place,
                f"{len(images)} patterns for images and {len(masks)} for masks; "
                "each images pattern needs its own masks pattern",
            )
        for image, mask in zip(images, masks, strict=True):
            if len(WILDCARD.findall(image)) != len(WILDCARD.findall(mask)):
                self.fail(
                    place,
                    f"{image} and {mask} have different numbers of wildcards; "
                    "what each * of images matches stands at the same * of masks",
                )
        keys = self.sequence((*place, "keys"), fields.get("keys", []))
        return FileSplit(
            images=images,
            masks=masks,
            keys=tuple(self.text((*place, "keys", j), key) for j, key in enumerate(keys)),
            list_file=self.text((*place, "list"), fields["list"]) if "list" in fields else None,
        )

    def patterns(self, place: Place, value: Any) -> tuple[str, ...]:
        values = value if isinstance(value, list) else [value]
        patterns = tuple(self.text((*place, j), v) for j, v in enumerate(values))
        for pattern in patterns:
            if pattern.startswith("/") or ".." in pattern.split("/") or "**" in pattern:
                self.fail(place, f"{pattern}: a pattern is relative to the root, without .. or **")
            if not WILDCARD.search(pattern):
                self.fail(place, f"{pattern}: a pattern needs a *, as in images/train/*.png")
        return patterns

    def source(self, value: Any) -> Source:
        place: Place = ("source",)
        fields = self.mapping(
            place, value, required=("homepage", "licence"), optional=("url", "checksums")
        )
        if ("url" in fields) != ("checksums" in fields):
            self.fail(place, "url and checksums belong together: only verified files are kept")
        texts = {key: self.text((*place, key), v) for key, v in fields.items()}
        checksums = self.path.parent / texts["checksums"] if "checksums" in texts else None
        if checksums is not None and not checksums.is_file():
            self.fail((*place, "checksums"), f"{checksums}: no such file beside the YAML")
        return Source(
            homepage=texts["homepage"],
            licence=texts["licence"],
            url=texts.get("url"),
            checksums=checksums,
        )

    def published(self, value: Any, num_classes: int) -> tuple[PublishedResult, ...]:
        results = []
        for i, entry in enumerate(self.sequence(("published",), value)):
            place: Place = ("published", i)
            texts, figures = ("arch", "title", "split"), ("mean_iou", "accuracy")
            fields = self.mapping(place, entry, required=(*texts, *figures, "class_iou"))
            iou = self.sequence((*place, "class_iou"), fields["class_iou"])
            if len(iou) != num_classes:
                self.fail((*place, "class_iou"), f"{len(iou)} figures for {num_classes} classes")
            results.append(
                PublishedResult(
                    arch=self.text((*place, "arch"), fields["arch"]),
                    title=self.text((*place, "title"), fields["title"]),
                    split=self.text((*place, "split"), fields["split"]),
                    mean_iou=self.number((*place, "mean_iou"), fields["mean_iou"], float, 0),
                    accuracy=self.number((*place, "accuracy"), fields["accuracy"], float, 0),
                    class_iou=tuple(
                        self.number((*place, "class_iou", j), v, float, 0)
                        for j, v in enumerate(iou)
                    ),
                )
            )
        return tuple(results)

    def color(self, place: Place, value: Any) -> tuple[int, int, int]:
        ok = isinstance(value, list) and len(value) == 3
        if not ok or not all(type(v) is int and 0 <= v <= 255 for v in value):
            self.fail(place, f"expected a color [r, g, b] of numbers 0 to 255, not {value!r}")
        return value[0], value[1], value[2]

    def code(self, place: Place, value: Any, encoding: Encoding) -> int:
        """One raw label value: an id, or a packed colour."""
        if encoding == "rgb":
            return _pack(self.color(place, value))
        if type(value) is not int or not 0 <= value <= 65535:
            self.fail(place, f"expected an id from 0 to 65535, not {value!r}")
        return value


def _pack(color: tuple[int, int, int]) -> int:
    return color[0] << 16 | color[1] << 8 | color[2]
