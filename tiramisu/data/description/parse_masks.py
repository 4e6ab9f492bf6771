"""The YAML file of a data set for segmentation: images and masks."""

from typing import Any, Literal, get_args

import numpy as np

from tiramisu.data.description.spec_file import Color, SpecFile
from tiramisu.data.description.yaml_file import Place
from tiramisu.data.labels import IGNORE_INDEX, MAX_CLASSES, Encoding, LabelTable
from tiramisu.data.readers.file_split import WILDCARD
from tiramisu.data.spec import DatasetSpec, DrawnSplit, FileSplit

Codes = tuple[tuple[int, ...], ...]  # of each class


class SegmentationFile(SpecFile):
    def spec(self) -> DatasetSpec:
        fields = self.mapping(
            (),
            self.content,
            required=("name", "title", "classes", "splits"),
            optional=("task", "encoding", "ignore", "drawn", "source", "published", "root"),
        )
        encoding: Encoding = self.choice(
            ("encoding",), fields.get("encoding", "index"), get_args(Encoding)
        )
        classes = self.classes(maximum=MAX_CLASSES, optional=("color", "raw"))
        colors = self.colors(classes)
        raw = self.raw(classes, colors, encoding)
        return DatasetSpec(
            name=self.name(),
            title=self.title(),
            class_names=tuple(entry["name"] for entry in classes),
            colors=np.array(colors, dtype=np.uint8),
            labels=LabelTable(
                encoding=encoding,
                raw=raw,
                ignore=self.ignore(fields.get("ignore"), encoding, raw),
            ),
            splits=self.splits(fields.get("drawn")),
            source=self.source(),
            published=self.published(num_classes=len(classes), iou=True),
            root=self.root(),
        )

    def raw(self, classes: list[dict[str, Any]], colors: list[Color], encoding: Encoding) -> Codes:
        """The codes of each class."""
        raw: list[tuple[int, ...]] = []
        for i, fields in enumerate(classes):
            here = ("classes", i)
            if "raw" in fields:
                values = self.sequence((*here, "raw"), fields["raw"])
                codes = [self.code((*here, "raw", j), v, encoding) for j, v in enumerate(values)]
                raw.append(tuple(codes))
            elif encoding == "index":
                raw.append((i,))
            elif "color" in fields:
                raw.append((_pack(colors[i]),))
            else:
                self.fail(here, "with `encoding: rgb` a class needs a color: [r, g, b]")
        show = LabelTable(encoding=encoding, raw=(), ignore=()).show
        self.distinct(
            (("classes", i), f"the raw value {show(code)}")
            for i, codes in enumerate(raw)
            for code in codes
        )
        return tuple(raw)

    def ignore(
        self, value: Any, encoding: Encoding, raw: Codes
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

    def splits(self, drawn: Any) -> dict[str, FileSplit | DrawnSplit]:
        entries = self.split_entries()
        if drawn is None:
            return {name: self.file_split(*entry) for name, entry in entries.items()}
        fields = self.mapping(("drawn",), drawn, required=("height", "width"))
        size = {key: self.number(("drawn", key), v, int, 1) for key, v in fields.items()}
        return {name: self.drawn_split(*entry, **size) for name, entry in entries.items()}

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

    def code(self, place: Place, value: Any, encoding: Encoding) -> int:
        """One raw label value: an id, or a packed colour."""
        if encoding == "rgb":
            return _pack(self.color(place, value))
        if type(value) is not int or not 0 <= value <= 65535:
            self.fail(place, f"expected an id from 0 to 65535, not {value!r}")
        return value


def _pack(color: Color) -> int:
    return color[0] << 16 | color[1] << 8 | color[2]
