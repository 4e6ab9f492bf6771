"""The embedded data set for classification: single objects of a street, drawn from a seed.

An object is painted in metres in front of a background, larger than asked for; a random square
around it is then cut out and down-sampled, which gives smooth edges. Only the sensor noise depends
on the image size: a seed gives the same object at every size.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from tiramisu.streets.objects import (
    BRICKS,
    GLASS,
    SIGNS,
    Rng,
    draw_bollard,
    draw_bush,
    draw_clutter,
    draw_fence,
    draw_house,
    draw_lamp_post,
    draw_sign,
    draw_traffic_light,
    draw_tree,
    pick,
)
from tiramisu.streets.painter import (
    BUILDING,
    FOCAL_X,
    FOCAL_Y,
    ROAD,
    SIDEWALK,
    SIGN,
    SKY,
    TREE,
    Camera,
    Color,
    Image,
    Painter,
    box,
    grid,
    mixed,
    ribbon,
    shaded,
    upright,
)
from tiramisu.streets.plan import place_horizon
from tiramisu.streets.scene import choose_light, draw_sky, photograph
from tiramisu.streets.traffic import (
    BUS,
    HATCHBACK,
    SALOON,
    VAN,
    Body,
    draw_car,
    draw_cyclist,
    draw_pedestrian,
)

MIN_SIZE = 16  # pixels; in smaller images a traffic light looks like a person
OVERSIZE = 5  # height of the painting, in heights of the image
SHARE = 0.45  # about the part of the painting's height that the object takes


@dataclass(frozen=True, kw_only=True)
class View:
    """Where one object stands before the camera, in metres."""

    extent: float  # about its larger side
    middle: float  # the height of its middle above the ground
    x: float  # its place; its far end is at z + depth
    z: float
    depth: float
    draw: Callable[[Painter, Rng], None]
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
    painter = Painter(camera, light, height=height, width=height * 4 // 3)
    _draw_background(painter, rng, view)
    behind = painter.label.copy()
    painter.label[:] = SKY
    view.draw(painter, rng)
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


def _draw_background(painter: Painter, rng: Rng, view: View) -> None:
    """Sky and ground; behind the object a wall, plants or nothing; a few objects beside it."""
    draw_sky(painter, rng)
    grey = rng.uniform(66, 130)
    asphalt: Color = (grey, grey * rng.uniform(0.97, 1.02), grey * rng.uniform(0.96, 1.06))
    grounds = (asphalt, asphalt, (150, 144, 138), (112, 110, 112), (92, 108, 54), (116, 114, 66))
    choice = int(rng.integers(len(grounds)))
    ground, label = grounds[choice], ROAD if choice < 2 else TREE if choice > 3 else SIDEWALK
    painter.fill(ribbon(-200, 200, 1, 400), ground, label)
    edge = view.x + rng.choice([-1, 1]) * rng.uniform(0.5, 1.2) * view.extent
    other = pick(rng, grounds)
    painter.fill(ribbon(edge, np.sign(edge - view.x) * 200, 1, 400), other, SIDEWALK)
    painter.fill(ribbon(edge, edge + 0.15, 1, 400), shaded(other, 1.2), SIDEWALK)
    for z, draw in sorted(place_horizon(painter, rng), key=lambda item: -item[0]):
        if z > view.z + view.depth:
            draw()
    back = view.z + view.depth + rng.uniform(0.3, 1.5) * view.extent
    kind = rng.choice(view.backgrounds)
    if kind == "wall":
        _draw_wall(painter, rng, x=view.x, z=back, unit=max(view.extent, 2.0))
    elif kind == "leaves":
        width = 0.5 * view.extent
        for x in view.x + np.arange(-3.5, 4, 0.8) * width * rng.uniform(0.9, 1.3):
            if rng.random() < 0.3 and view.extent > 1.6:
                draw_tree(painter, rng, x=x, z=back, height=view.extent * rng.uniform(0.8, 1.6))
            elif rng.random() < 0.8:
                draw_bush(painter, rng, x=x, z=back, width=width * rng.uniform(0.7, 1.2))
    for _ in range(rng.integers(0, 3)):
        side = int(rng.choice([-1, 1]))
        x = view.x + side * view.extent * rng.uniform(0.45, 1.1)
        z = view.z + rng.uniform(0, view.depth + 0.5 * view.extent)
        thing = rng.integers(3)
        if thing == 0:
            draw_lamp_post(painter, rng, x=x, z=z, side=side)
        else:
            (draw_bollard, draw_clutter)[thing - 1](painter, rng, x=x, z=z)


def _draw_wall(painter: Painter, rng: Rng, *, x: float, z: float, unit: float) -> None:
    """A wall across the whole image, sometimes with windows, sometimes with its top in sight."""
    wall = pick(rng, BRICKS)
    top = unit * (rng.uniform(0.5, 1.2) if rng.random() < 0.4 else 9)
    painter.fill(upright(x, z, box(-9 * unit, 0, 9 * unit, top)), wall, BUILDING)
    painter.fill(upright(x, z, box(-9 * unit, top - 0.1, 9 * unit, top)), shaded(wall, 1.2))
    if rng.random() < 0.6:
        pitch, first = rng.uniform(1.6, 3.2), rng.uniform(0, 1)
        xs, ys = np.arange(first - 12, 12, 1) * pitch, np.arange(1.0, top - 1.6, 3.0)
        if len(ys):
            wide, tall = pitch * rng.uniform(0.35, 0.7), rng.uniform(1.1, 1.6)
            glass = mixed(GLASS, painter.light.haze, rng.uniform(0, 0.5))
            rims = grid(xs - 0.1, ys - 0.1, wide + 0.2, tall + 0.2)
            painter.fill(upright(x, z, rims), mixed(wall, (214, 210, 202), 0.6))
            painter.fill(upright(x, z, grid(xs, ys, wide, tall)), glass, BUILDING)
    else:  # rows of stones
        ys = np.arange(0, top, unit / 6)
        lines = grid(np.array([-9 * unit]), ys, 18 * unit, unit / 60)
        painter.fill(upright(x, z, lines), shaded(wall, 0.8))


def _distance(extent: float) -> float:
    """Distance in metres at which an object of this extent takes SHARE of the painting's height."""
    return FOCAL_Y * extent / SHARE


def _view_vehicle(rng: Rng, *bodies: Body) -> View:
    body = bodies[rng.integers(len(bodies))]
    # A part of the side is in sight: from the front a van looks like a bus.
    heading = float(rng.choice([-1, 1]) * rng.uniform(0.25, 0.75) * np.pi)
    wide = body.length * abs(np.sin(heading)) + body.width * abs(np.cos(heading))
    depth = body.length * abs(np.cos(heading)) + body.width * abs(np.sin(heading))
    z = _distance(wide) + depth / 2

    def draw(painter: Painter, rng: Rng) -> None:
        draw_car(painter, rng, x=0, z=z, heading=heading, body=body)

    middle = max(height for _, height in body.outline) / 2
    return View(extent=wide, middle=middle, x=0, z=z, depth=depth / 2, draw=draw)


def _view_upright(
    extent: float, draw: Callable[..., None], *, middle: float | None = None, **how: Any
) -> Callable[[Rng], View]:
    """The view of an object that faces the camera."""
    z = _distance(extent)

    def view(rng: Rng) -> View:
        def paint(painter: Painter, rng: Rng) -> None:
            draw(painter, rng, x=0, z=z, **how)

        return View(
            extent=extent,
            middle=extent / 2 if middle is None else middle,
            x=0,
            z=z,
            depth=0,
            draw=paint,
            part=None if middle is None else SIGN,
        )

    return view


def _view_tree(rng: Rng) -> View:
    height = rng.uniform(4, 9)
    view = _view_upright(height, draw_tree, height=height)(rng)
    return replace(
        view, backgrounds=("open",)
    )  # branches without leaves cannot be seen before a wall


def _view_house(rng: Rng) -> View:
    """A corner of a house: its front and its end."""
    side, height = int(rng.choice([-1, 1])), rng.uniform(3.5, 8)
    near = _distance(13)
    far, x = near + rng.uniform(6, 12), side * rng.uniform(0.4, 0.8) * near

    def draw(painter: Painter, rng: Rng) -> None:
        draw_house(painter, rng, x=x, side=side, near=near, far=far, height=height)

    return View(
        extent=13,
        middle=height / 2,
        x=x + side * 3,
        z=near,
        depth=far - near,
        draw=draw,
        backgrounds=("open",),
    )


def _view_fence(rng: Rng) -> View:
    near = _distance(1.6)
    far, x = near + rng.uniform(2, 4), rng.choice([-1, 1]) * rng.uniform(0.5, 1.0) * near

    def draw(painter: Painter, rng: Rng) -> None:
        draw_fence(painter, rng, x=x, near=near, far=far)

    return View(extent=2.2, middle=0.6, x=x * 0.8, z=near, depth=far - near, draw=draw)


_VIEWS: dict[str, Callable[[Rng], View]] = {
    "car": lambda rng: _view_vehicle(rng, HATCHBACK, SALOON),
    "van": lambda rng: _view_vehicle(rng, VAN),
    "bus": lambda rng: _view_vehicle(rng, BUS),
    "pedestrian": _view_upright(1.8, draw_pedestrian),
    # From behind, only a few pixels tell a cyclist from a pedestrian.
    "cyclist": _view_upright(1.8, draw_cyclist, across=1.0),
    "tree": _view_tree,
    "house": _view_house,
    "traffic sign": _view_upright(1.4, draw_sign, middle=2.4, kinds=SIGNS[:4]),
    "traffic light": _view_upright(1.4, draw_traffic_light, middle=2.9),
    "fence": _view_fence,
}
OBJECTS = tuple(_VIEWS)  # the classes, in order
