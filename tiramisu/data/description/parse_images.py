"""The YAML file of a data set for classification: each image has one class."""

from typing import Any, get_args

import numpy as np

from tiramisu.data.description.spec_file import SpecFile
from tiramisu.data.description.yaml_file import Place
from tiramisu.data.spec import CifarSplit, DatasetSpec, FolderSplit, Split

_MAX_CLASSES = 100_000
_CIFAR = get_args(CifarSplit.__annotations__["dataset"])


class ClassificationFile(SpecFile):
    def spec(self) -> DatasetSpec:
        fields = self.mapping(
            (),
            self.content,
            required=("name", "title", "task", "classes", "splits"),
            optional=("size", "drawn", "torchvision", "source", "published", "root"),
        )
        classes = self.classes(maximum=_MAX_CLASSES, optional=("color", "folder"))
        if "drawn" in fields and "torchvision" in fields:
            self.fail(("drawn",), "images are either drawn or torchvision's; remove one")
        if "drawn" in fields and "size" in fields:
            self.fail(("size",), "drawn images have the size that drawn names; remove this one")
        return DatasetSpec(
            name=self.name(),
            title=self.title(),
            task="classification",
            class_names=tuple(entry["name"] for entry in classes),
            colors=np.array(self.colors(classes), dtype=np.uint8),
            labels=None,
            splits=self.splits(classes),
            size=self.size(fields["size"]) if "size" in fields else None,
            source=self.source(),
            published=self.published(num_classes=len(classes), iou=False),
            root=self.root(),
        )

    def size(self, value: Any) -> tuple[int, int]:
        if not isinstance(value, list) or len(value) != 2:
            self.fail(("size",), f"expected [height, width] in pixels, not {value!r}")
        height, width = (self.number(("size", i), side, int, 1) for i, side in enumerate(value))
        return height, width

    def splits(self, classes: list[dict[str, Any]]) -> dict[str, Split]:
        entries, splits = self.split_entries(), {}
        for name, (place, entry) in entries.items():
            if "drawn" in self.content:
                fields = self.mapping(("drawn",), self.content["drawn"], required=("size",))
                side = self.number(("drawn", "size"), fields["size"], int, 1)
                split: Split = self.drawn_split(place, entry, height=side, width=side)
            elif "torchvision" in self.content:
                split = self.cifar_split(place, entry)
            else:
                split = self.folder_split(place, entry, classes)
            splits[name] = split
        return splits

    def folder_split(self, place: Place, entry: Any, classes: list[dict[str, Any]]) -> FolderSplit:
        fields = self.mapping(place, entry, required=("folder",))
        folder = self.text((*place, "folder"), fields["folder"])
        if folder.startswith("/") or ".." in folder.split("/"):
            self.fail((*place, "folder"), f"{folder}: a folder is relative to the root, without ..")
        names = [
            self.text(("classes", i, "folder"), entry.get("folder", entry["name"]))
            for i, entry in enumerate(classes)
        ]
        self.distinct((("classes", i), f"the folder {name!r}") for i, name in enumerate(names))
        return FolderSplit(folder=folder, folders=tuple(names))

    def cifar_split(self, place: Place, entry: Any) -> CifarSplit:
        dataset = self.choice(("torchvision",), self.content["torchvision"], _CIFAR)
        fields = self.mapping(place, entry, required=("part",), optional=("range",))
        part = self.choice((*place, "part"), fields["part"], ("train", "test"))
        if "range" not in fields:
            return CifarSplit(dataset=dataset, train=part == "train")
        value, here = fields["range"], (*place, "range")
        if not isinstance(value, list) or len(value) != 2:
            self.fail(here, f"expected [first, end] (end is not in it), not {value!r}")
        start, stop = (self.number((*here, i), v, int, 0) for i, v in enumerate(value))
        if start >= stop:
            self.fail(here, f"{value} holds no image; expected two numbers, the smaller one first")
        return CifarSplit(dataset=dataset, train=part == "train", start=start, stop=stop)
