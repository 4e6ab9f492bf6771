"""Predictions of a few samples as one picture: RGB, uint8 (H, W, 3)."""

from collections.abc import Collection, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw
from PIL.ImageFont import FreeTypeFont

from tiramisu.checkpoints.model import ImageModel
from tiramisu.data.background import find_unpainted
from tiramisu.data.dataset import ImageDataset
from tiramisu.data.labels import IGNORE_INDEX
from tiramisu.inference.tester import PixelTester
from tiramisu.inference.tiles import Tile
from tiramisu.text import escape_controls
from tiramisu.visual import pictures
from tiramisu.visual.pictures import BLACK, RED, WHITE, Colors, Label, Picture, hatch_void

NUM_SAMPLES = {"segmentation": 4, "classification": 32}
_DARKEST = 160  # grey of pictures of errors, which are light so that red is also darker
_MARGIN = 12  # white around pictures of samples, in pixels


def save_samples(
    model: ImageModel, dataset: ImageDataset, path: Path, *, tile: Tile = "auto"
) -> None:
    """Write a picture (PNG) of images at even distances in a split, with labels and predictions."""
    picked = pick_samples(dataset, number=NUM_SAMPLES[model.task])
    names, class_names = [dataset.names[index] for index in picked], model.info.class_names
    title = f"{model.info.arch} on {dataset.spec.name} {dataset.split}"
    pairs = [dataset.read(index) for index in picked]
    labels = [label for _, label in pairs]
    images = [pictures.show_bands(i, value_range=model.info.value_range) for i, _ in pairs]
    if model.task == "classification":
        probabilities = []
        for index in picked:
            with torch.inference_mode():
                logits = model(dataset[index]["image"][None].to(model.device))
            probabilities.append(logits[0].float().softmax(dim=0).cpu().numpy())  # (C,)
        grid = class_grid(images, labels, probabilities, class_names=class_names)
        pictures.save_png(path, add_title(grid, title))
        return
    tester, masks = PixelTester(model, tile=tile), []
    for index, label in zip(picked, labels, strict=True):
        tested = tester.test(dataset[index]["image"][None], size=(label.shape[0], label.shape[1]))
        masks.append(tested.classes[0].to(torch.uint8).cpu().numpy())
    grid = sample_grid(
        images,
        labels,
        masks,
        names=names,
        class_names=class_names,
        colors=dataset.spec.colors,
    )
    pictures.save_png(path, add_title(grid, title))


def add_title(picture: Picture, title: str) -> Picture:
    """A picture with a title above it, and a white margin around both."""
    text_height = round(1.25 * pictures.text_height_for(picture.shape[1]))
    font = pictures.load_font(text_height)
    text = _shorten(title, font, width=picture.shape[1])
    line = Image.new("RGB", (picture.shape[1], 2 * text_height), WHITE)
    ImageDraw.Draw(line).text((0, 0), text, fill=BLACK, font=font, anchor="la")
    framed = pictures.stack([np.asarray(line), picture])
    margins = ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0))
    return np.pad(framed, margins, constant_values=255)


def pick_samples(dataset: ImageDataset, *, number: int) -> list[int]:
    """The indices of up to `number` samples, at even distances over a split."""
    number = min(number, len(dataset))
    return [int(i) for i in np.linspace(0, len(dataset) - 1, number).round()]


def class_grid(
    images: Sequence[Picture],
    labels: Sequence[npt.NDArray[np.int64]],
    probabilities: Sequence[npt.NDArray[np.float32]],
    *,
    class_names: Sequence[str],
    columns: int = 8,
    cell: int = 170,
) -> Picture:
    """Show images in rows, each with its predicted class and the probability of this class.

    A wrong class is written in red, with the right one below it.

    Args:
        images: RGB (H, W, 3) each.
        labels: the class of each image, ().
        probabilities: of all classes for each image, (C,).
        class_names: C names.
        columns: images in a row.
        cell: width and height of an image in the picture, in pixels.
    """
    font = pictures.load_font(pictures.text_height_for(0))
    gap, line = 10, 20
    rows = -(-len(images) // columns)
    size = (columns * (cell + gap) + gap, rows * (cell + 2 * line + gap) + gap)
    canvas = Image.new("RGB", size, WHITE)
    draw = ImageDraw.Draw(canvas)
    samples = zip(images, labels, probabilities, strict=True)
    for index, (image, label, scores) in enumerate(samples):
        x = gap + index % columns * (cell + gap)
        y = gap + index // columns * (cell + 2 * line + gap)
        scale = cell / max(image.shape[:2])
        width, height = (max(1, round(side * scale)) for side in image.shape[1::-1])
        shown = Image.fromarray(pictures.resize(image, (width, height)))
        canvas.paste(shown, (x + (cell - width) // 2, y + (cell - height) // 2))
        predicted = int(scores.argmax())
        right = predicted == int(label)
        captions = [f"{class_names[predicted]} {pictures.percent(float(scores[predicted]))}"]
        captions += [] if right else [f"is {class_names[int(label)]}"]
        for row, caption in enumerate(captions):
            text = _shorten(caption, font, width=cell)
            position = (x + cell / 2, y + cell + (row + 0.5) * line)
            draw.text(position, text, fill=BLACK if right else RED, font=font, anchor="mm")
    return np.asarray(canvas)


def sample_grid(
    images: Sequence[Picture],
    labels: Sequence[Label],
    predictions: Sequence[Label],
    *,
    names: Sequence[str],
    class_names: Sequence[str],
    colors: Colors,
    cell_width: int = 400,
) -> Picture:
    """Show samples one below the other: image, ground truth, prediction, and errors in red.

    Where a class is the background, the image is seen there.

    Args:
        images: RGB (H, W, 3) each.
        labels: ground truth, class ids (H, W) each, with void.
        predictions: class ids (H, W), each of the size of its label.
        names: a caption for each sample; its pixel accuracy is added.
        class_names: C names, for the legend.
        colors: RGB (C, 3).
        cell_width: width of each picture in the grid, in pixels.

    Raises:
        ValueError: a label and its prediction differ in size.
    """
    bare = find_unpainted(class_names, None)
    rows: list[tuple[list[Picture], list[str]]] = []
    for image, label, prediction, name in zip(images, labels, predictions, names, strict=True):
        if label.shape != prediction.shape:
            raise ValueError(
                f"{name}: the label is {pictures.describe_size(label)} and the prediction "
                f"{pictures.describe_size(prediction)}; expected the same size"
            )
        captions = [name, "", describe_score(label, prediction)]
        size = cell_size(image, cell_width)
        small = pictures.resize(image, size)
        colored = [
            _paint(small, resize_label(ids, size), colors, unpainted=bare)
            for ids in (label, prediction)
        ]
        rows.append(([small, *colored, mark_errors(small, label, prediction)], captions))
    headings = ["image", "ground truth", "prediction", "errors (red)"]
    grid = arrange_grid(headings, rows, cell_width=cell_width)
    legend = pictures.draw_legend(
        class_names,
        colors,
        size=(1, grid.shape[1]),
        unpainted=bare,
        has_void=any((label == IGNORE_INDEX).any() for label in labels),
    )
    return pictures.stack([grid, legend])


def _paint(image: Picture, label: Label, colors: Colors, *, unpainted: Collection[int]) -> Picture:
    """The colours of a label, hatched where it is void; unpainted classes show the image."""
    shows_image = np.isin(label, list(unpainted))
    return np.where(shows_image[..., None], image, pictures.color_labels(label, colors))


def arrange_grid(
    headings: Sequence[str],
    rows: Sequence[tuple[Sequence[Picture], Sequence[str]]],
    *,
    cell_width: int,
) -> Picture:
    """Put pictures into rows and columns.

    Args:
        headings: one for each column.
        rows: pictures of each row, all of one height, and the captions below them. Columns without
            a caption may be left out at the end.
        cell_width: width of all pictures, in pixels.
    """
    gap = 8
    width = len(headings) * (cell_width + gap) - gap
    columns = [index * (cell_width + gap) for index in range(len(headings))]
    lines = [_draw_captions(headings, columns, width=width, cell_width=cell_width)]
    for cells, captions in rows:
        line = np.full((cells[0].shape[0], width, 3), 255, np.uint8)
        for x, cell in zip(columns, cells, strict=True):
            line[:, x : x + cell_width] = cell
        caption = _draw_captions(captions, columns, width=width, cell_width=cell_width)
        # The space shows that a caption belongs to the row above it.
        lines += [line, caption, np.full((2 * gap, width, 3), 255, np.uint8)]
    return pictures.stack(lines)


def cell_size(image: Picture, cell_width: int) -> tuple[int, int]:
    """Width and height of an image when it is resized to the width of a cell."""
    return cell_width, max(1, round(image.shape[0] * cell_width / image.shape[1]))


def describe_score(label: Label, prediction: Label) -> str:
    """The pixel accuracy as a caption; void pixels are ignored."""
    known = label != IGNORE_INDEX
    right = np.count_nonzero((label == prediction)[known])
    return f"{pictures.percent(right / known.sum())} right" if known.any() else "all void"


def resize_label(label: Label, size: tuple[int, int]) -> Label:
    """Resize class ids to (width, height), by nearest neighbours."""
    return cv2.resize(label, size, interpolation=cv2.INTER_NEAREST).astype(np.uint8)


def mark_errors(image: Picture, label: Label, prediction: Label) -> Picture:
    """The image in light gray with wrong pixels red and void hatched, in the image's size.

    People who cannot tell red from grey see the errors because they are darker.
    """
    size = image.shape[1::-1]
    label, prediction = resize_label(label, size), resize_label(prediction, size)
    lightness = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    gray = (_DARKEST + (255 - _DARKEST) * lightness).round()
    marked = np.repeat(gray[..., None], 3, axis=2).astype(np.uint8)
    marked[label != prediction] = RED
    return hatch_void(marked, label)


def _draw_captions(
    texts: Sequence[str], columns: Sequence[int], *, width: int, cell_width: int
) -> Picture:
    """A line of text with an entry at each column; a long one goes on below an empty next one."""
    text_height = pictures.text_height_for(width)
    font = pictures.load_font(text_height)
    line = Image.new("RGB", (width, 2 * text_height), WHITE)
    draw = ImageDraw.Draw(line)
    for text, x, following in zip(texts, columns, [*texts[1:], "end"], strict=False):
        room = cell_width if following else 2 * cell_width
        shown = _shorten(text, font, width=room - 4)
        draw.text((x, text_height), shown, fill=BLACK, font=font, anchor="lm")
    return np.asarray(line)


def _shorten(text: str, font: FreeTypeFont, *, width: int) -> str:
    """As much of the text as fits into `width` pixels; an ellipsis stands for the rest."""
    text = short = escape_controls(text)
    while short and pictures.text_width(short, font) > width:
        text = text[:-1]
        short = f"{text}…" if text else ""
    return short
