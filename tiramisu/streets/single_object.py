"""The embedded data set for classification: single objects of a street, drawn from a seed.

An object is painted in metres in front of a background, larger than asked for; a random square
around it is then cut out and down-sampled, which gives smooth edges. Only the sensor noise depends
on the image size: a seed gives the same object at every size.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from tiramisu.streets import objects, palette, traffic
from tiramisu.streets.classes import BUILDING, ROAD, SIDEWALK, SIGN, SKY, TREE
from tiramisu.streets.painter import FOCAL_X, FOCAL_Y, Camera, Image, Painter
from tiramisu.streets.palette import Rng, mixed, pick, shaded
from tiramisu.streets.plan import place_horizon
from tiramisu.streets.polygons import box, grid, ribbon
from tiramisu.streets.scene import choose_light, draw_sky, photograph

MIN_SIZE = 16  # pixels; in smaller images a traffic light looks like a person
OVERSIZE = 5  # height of the painting, in heights of the image
SHARE = 0.45  # about the part of the painting's height that the object takes


@dataclass(frozen=True, kw_only=True)
class View:
    """Where one object stands before the camera, in metres."""

    extent: float  # about its larger side
    middle: float  # the height of its middle above the ground
    x: float = 0.0  # its place; its far end is at z + depth
    z: float
    depth: float = 0.0
    draw: Callable[[Painter], None]
    part: int | None = None  # label of the part that must be in the image; None for all of it
    backgrounds: tuple[str, ...] = ("open", "wall", "leaves")


def draw_object(seed: int, *, size: int) -> tuple[Image, int]:
    """Draw the object of a seed.

    The same arguments give the same bytes; another size gives the same object.

    Args:
        seed: 0 or more. Its remainder modulo the number of classes is the class, so that successive
            seeds go through all classes in turn.
        size: height and width in pixels, 16 or more.

    Returns:
        The image, uint8 (size, size, 3) RGB, and its class, an index into OBJECTS.

    Raises:
        ValueError: the size is below 16 pixels.
    """
    if size < MIN_SIZE:
        raise ValueError(
            f"an object of {size} pixels was asked for; give a size of {MIN_SIZE} or more"
        )
    rng = np.random.default_rng(seed)
    index = seed % len(OBJECTS)
    view = _VIEWS[OBJECTS[index]](rng)
    eye = rng.uniform(1.1, 1.9)
    camera = Camera(
        height=eye,
        center=0.5 - FOCAL_X * view.x / view.z,
        horizon=0.5 + FOCAL_Y * (view.middle - eye) / view.z,
        bend=0.0,
    )
    light = choose_light(rng)
    height = OVERSIZE * size
    painter = Painter(rng, camera, light, height=height, width=height * 4 // 3)
    _draw_background(painter, view)
    behind = painter.label.copy()
    painter.label[:] = SKY
    view.draw(painter)
    shown = painter.label != SKY if view.part is None else painter.label == view.part
    rows, columns = _choose_cut(shown, rng)
    label = np.where(painter.label == SKY, behind, painter.label)[rows, columns]
    small = cv2.resize(painter.image[rows, columns], (size, size), interpolation=cv2.INTER_AREA)
    small_label = cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST_EXACT)
    painted, classes = np.asarray(small, np.uint8), np.asarray(small_label, np.uint8)
    return photograph(painted, classes, light, rng), index


def _choose_cut(shown: npt.NDArray[np.bool_], rng: Rng) -> tuple[slice, slice]:
    """Choose a random square of the painting that holds all pixels of `shown`, bool (H, W)."""
    limits = [np.flatnonzero(shown.any(axis=axis))[[0, -1]] for axis in (1, 0)]
    lengths = [last + 1 - first for first, last in limits]
    fill = rng.uniform(0.6, 0.98)
    side = min(round(max(lengths) / fill), *shown.shape)
    cuts = []
    for (first, _), length, whole in zip(limits, lengths, shown.shape, strict=True):
        slack = (side - length) / 2
        shift = rng.uniform(-1, 1) * min(abs(slack), 0.2 * side)
        start = int(np.clip(round(first - slack + shift), 0, whole - side))
        cuts.append(slice(start, start + side))
    return cuts[0], cuts[1]


def _draw_background(painter: Painter, view: View) -> None:
    """Sky and ground; behind the object a wall, plants or nothing; a few objects beside it."""
    rng, extent = painter.rng, view.extent
    draw_sky(painter)
    asphalt = palette.pick_asphalt(rng, 130)
    grounds = (asphalt, asphalt, *palette.PAVINGS[::3], *palette.GRASSES[::2])
    labels = (ROAD, ROAD, SIDEWALK, SIDEWALK, TREE, TREE)
    choice = rng.integers(len(grounds))
    painter.fill(ribbon(-200, 200, 1, 400), grounds[choice], labels[choice])
    side = rng.choice([-1, 1])
    edge = view.x + side * rng.uniform(0.5, 1.2) * extent
    other = pick(rng, grounds)
    painter.fill(ribbon(edge, side * 200, 1, 400), other, SIDEWALK)
    painter.fill(ribbon(edge, edge + 0.15, 1, 400), shaded(other, 1.2), SIDEWALK)
    place_horizon(painter)
    painter.paint_queue(beyond=view.z + view.depth)
    back = view.z + view.depth + rng.uniform(0.3, 1.5) * extent
    kind = rng.choice(view.backgrounds)
    if kind == "wall":
        _draw_wall(painter, x=view.x, z=back, unit=max(extent, 2.0))
    elif kind == "leaves":
        width = 0.5 * extent
        for x in view.x + np.arange(-3.5, 4, 0.8) * width * rng.uniform(0.9, 1.3):
            if rng.random() < 0.3 and extent > 1.6:
                objects.draw_tree(painter, x=x, z=back, height=extent * rng.uniform(0.8, 1.6))
            elif rng.random() < 0.8:
                objects.draw_bush(painter, x=x, z=back, width=width * rng.uniform(0.7, 1.2))
    for _ in range(rng.integers(0, 3)):
        side = int(rng.choice([-1, 1]))
        x = view.x + side * extent * rng.uniform(0.45, 1.1)
        z = view.z + rng.uniform(0, view.depth + 0.5 * extent)
        lamp_post = partial(objects.draw_lamp_post, side=side)
        draw = (lamp_post, objects.draw_bollard, objects.draw_clutter)[rng.integers(3)]
        draw(painter, x=x, z=z)


def _draw_wall(painter: Painter, *, x: float, z: float, unit: float) -> None:
    """A wall across the whole image, sometimes with windows, sometimes with its top in sight."""
    rng, stand = painter.rng, partial(painter.stand, x, z)
    wall = pick(rng, palette.BRICKS)
    top = unit * (rng.uniform(0.5, 1.2) if rng.random() < 0.4 else 9)
    stand(box(-9 * unit, 0, 9 * unit, top), wall, BUILDING)
    stand(box(-9 * unit, top - 0.1, 9 * unit, top), shaded(wall, 1.2))
    if rng.random() < 0.6:
        pitch, first = rng.uniform(1.6, 3.2), rng.uniform(0, 1)
        xs, ys = np.arange(first - 12, 12, 1) * pitch, np.arange(1.0, top - 1.6, 3.0)
        if len(ys):
            wide, tall = pitch * rng.uniform(0.35, 0.7), rng.uniform(1.1, 1.6)
            glass = mixed(palette.GLASS, painter.light.haze, rng.uniform(0, 0.5))
            rims = grid(xs - 0.1, ys - 0.1, wide + 0.2, tall + 0.2)
            stand(rims, mixed(wall, palette.TRIM, 0.6))
            stand(grid(xs, ys, wide, tall), glass, BUILDING)
    else:  # rows of stones
        lines = grid(-9 * unit, np.arange(0, top, unit / 6), 18 * unit, unit / 60)
        stand(lines, shaded(wall, 0.8))


def _distance(extent: float) -> float:
    """Distance in metres at which an object of this extent takes SHARE of the painting's height."""
    return FOCAL_Y * extent / SHARE


def _view_upright(draw: Callable[..., None], extent: float, **how: Any) -> View:
    """The view of an object that stands on the ground and faces the camera."""
    z = _distance(extent)
    return View(extent=extent, middle=extent / 2, z=z, draw=partial(draw, x=0, z=z, **how))


def _view_signs(draw: Callable[..., None], middle: float, **how: Any) -> View:
    """The view of what is at the top of a post."""
    return replace(_view_upright(draw, 1.4, **how), middle=middle, part=SIGN)


def _view_vehicle(rng: Rng, *bodies: traffic.Body) -> View:
    body = bodies[rng.integers(len(bodies))]
    # A part of the side is in sight: from the front a van looks like a bus.
    heading = float(rng.choice([-1, 1]) * rng.uniform(0.25, 0.75) * np.pi)
    sin, cos = abs(np.sin(heading)), abs(np.cos(heading))
    wide, depth = body.length * sin + body.width * cos, body.length * cos + body.width * sin
    z = _distance(wide) + depth / 2
    draw = partial(traffic.draw_car, x=0, z=z, heading=heading, body=body)
    return View(extent=wide, middle=body.height / 2, z=z, depth=depth / 2, draw=draw)


def _view_tree(rng: Rng) -> View:
    height = rng.uniform(4, 9)
    # Branches without leaves cannot be seen before a wall.
    return replace(_view_upright(objects.draw_tree, height, height=height), backgrounds=("open",))


def _view_house(rng: Rng) -> View:
    """A corner of a house: its front and its end."""
    side, height, z = int(rng.choice([-1, 1])), rng.uniform(3.5, 8), _distance(13)
    far, x = z + rng.uniform(6, 12), side * rng.uniform(0.4, 0.8) * z
    draw = partial(objects.draw_house, x=x, side=side, near=z, far=far, height=height)
    place = View(extent=13, middle=height / 2, x=x + side * 3, z=z, depth=far - z, draw=draw)
    return replace(place, backgrounds=("open",))


def _view_fence(rng: Rng) -> View:
    z = _distance(1.6)
    far, x = z + rng.uniform(2, 4), rng.choice([-1, 1]) * rng.uniform(0.5, 1.0) * z
    draw = partial(objects.draw_fence, x=x, near=z, far=far)
    return View(extent=2.2, middle=0.6, x=x * 0.8, z=z, depth=far - z, draw=draw)


_VIEWS: dict[str, Callable[[Rng], View]] = {
    "car": lambda rng: _view_vehicle(rng, traffic.HATCHBACK, traffic.SALOON),
    "van": lambda rng: _view_vehicle(rng, traffic.VAN),
    "bus": lambda rng: _view_vehicle(rng, traffic.BUS),
    "pedestrian": lambda rng: _view_upright(traffic.draw_pedestrian, 1.8),
    # From behind, only a few pixels tell a cyclist from a pedestrian.
    "cyclist": lambda rng: _view_upright(traffic.draw_cyclist, 1.8, across=1.0),
    "tree": _view_tree,
    "house": _view_house,
    "traffic sign": lambda rng: _view_signs(objects.draw_sign, 2.4, kinds=tuple(objects.SIGNS)[:4]),
    "traffic light": lambda rng: _view_signs(objects.draw_traffic_light, 2.9),
    "fence": _view_fence,
}
OBJECTS = tuple(_VIEWS)  # the classes, in order
