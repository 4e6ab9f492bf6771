"""What the YAML files of all data sets have in common, whatever their task."""

from pathlib import Path
from typing import Any

from tiramisu.data.description.yaml_file import Place, YamlFile
from tiramisu.data.spec import DrawnSplit, PublishedResult, Source, distinct_colors

Color = tuple[int, int, int]


class SpecFile(YamlFile):
    """A data set's YAML file."""

    def name(self) -> str:
        return self.text(("name",), self.content["name"])

    def title(self) -> str:
        return self.text(("title",), self.content["title"])

    def root(self) -> Path | None:
        if "root" not in self.content:
            return None
        root = self.text(("root",), self.content["root"])
        return self.path.parent / Path(root).expanduser()

    def classes(self, *, maximum: int, optional: tuple[str, ...]) -> list[dict[str, Any]]:
        """The entries of `classes`, each with a checked and different `name`."""
        place: Place = ("classes",)
        entries = self.sequence(place, self.content["classes"])
        if not 1 <= len(entries) <= maximum:
            self.fail(place, f"{len(entries)} classes; 1 to {maximum} can be told apart")
        classes = []
        for i, entry in enumerate(entries):
            here = (*place, i)
            if isinstance(entry, str):  # short form: just the name
                entry = {"name": entry}
            fields = self.mapping(here, entry, required=("name",), optional=optional)
            self.text((*here, "name"), fields["name"])
            classes.append(dict(fields))
        self.distinct(((*place, i), f"the name {c['name']!r}") for i, c in enumerate(classes))
        return classes

    def colors(self, classes: list[dict[str, Any]]) -> list[Color]:
        """The colour of each class: as given, or one that differs from all others."""
        given = [
            self.color(("classes", i, "color"), fields["color"]) if "color" in fields else None
            for i, fields in enumerate(classes)
        ]
        self.distinct((("classes", i), f"the color {list(c)}") for i, c in enumerate(given) if c)
        spare = iter(distinct_colors(len(given), taken={c for c in given if c}))
        return [c or next(spare) for c in given]

    def color(self, place: Place, value: Any) -> Color:
        ok = isinstance(value, list) and len(value) == 3
        if not ok or not all(type(v) is int and 0 <= v <= 255 for v in value):
            self.fail(place, f"expected a color [r, g, b] of numbers 0 to 255, not {value!r}")
        return value[0], value[1], value[2]

    def split_entries(self) -> dict[str, tuple[Place, Any]]:
        """The entries of `splits` by name, each with its place."""
        entries = self.mapping(("splits",), self.content["splits"])
        if not entries:
            self.fail(("splits",), "no split; a data set needs at least train and val")
        return {str(name): (("splits", name), entry) for name, entry in entries.items()}

    def drawn_split(self, place: Place, entry: Any, *, height: int, width: int) -> DrawnSplit:
        fields = self.mapping(place, entry, required=("first_seed", "count"))
        return DrawnSplit(
            first_seed=self.number((*place, "first_seed"), fields["first_seed"], int, 0),
            count=self.number((*place, "count"), fields["count"], int, 1),
            height=height,
            width=width,
        )

    def source(self) -> Source | None:
        if "source" not in self.content:
            return None
        place: Place = ("source",)
        fields = self.mapping(
            place,
            self.content["source"],
            required=("homepage", "licence"),
            optional=("url", "checksums"),
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

    def published(self, *, num_classes: int, iou: bool) -> tuple[PublishedResult, ...]:
        """Published figures; those of segmentation have IoUs (`iou`)."""
        results = []
        for i, entry in enumerate(self.sequence(("published",), self.content.get("published", []))):
            place: Place = ("published", i)
            keys = ("arch", "title", "split", "accuracy", *(("mean_iou", "class_iou") * iou))
            fields = self.mapping(place, entry, required=keys)
            figures = {
                key: self.number((*place, key), fields[key], float, 0)
                for key in ("accuracy", "mean_iou")
                if key in keys
            }
            class_iou = self.sequence((*place, "class_iou"), fields.get("class_iou", []))
            if iou and len(class_iou) != num_classes:
                count = len(class_iou)
                self.fail((*place, "class_iou"), f"{count} figures for {num_classes} classes")
            results.append(
                PublishedResult(
                    arch=self.text((*place, "arch"), fields["arch"]),
                    title=self.text((*place, "title"), fields["title"]),
                    split=self.text((*place, "split"), fields["split"]),
                    class_iou=tuple(
                        self.number((*place, "class_iou", j), v, float, 0)
                        for j, v in enumerate(class_iou)
                    ),
                    **figures,
                )
            )
        return tuple(results)
