"""Objects that stand in a street. Each function draws one at a given place, in metres.

The random numbers decide what an object looks like; `plan.py` decides where it stands.
"""

from functools import partial

import cv2
import numpy as np

from tiramisu.streets import palette
from tiramisu.streets.classes import BUILDING, FENCE, POLE, SIGN, TREE, VOID
from tiramisu.streets.painter import Painter
from tiramisu.streets.palette import FASCIAS, GLASS, LEAVES, STEEL, Color, mixed, pick, shaded
from tiramisu.streets.polygons import Point, Points, box, disc, grid, limb


def draw_house(
    painter: Painter, *, x: float, side: int, near: float, far: float, height: float
) -> None:
    """A house whose front stands at `x` along the street, on side -1 (left) or +1 (right)."""
    rng, bright = painter.rng, painter.light.on_side(side)
    wall = pick(rng, palette.BRICKS)
    trim = mixed(wall, palette.TRIM, rng.uniform(0.2, 0.9))
    across, rise = side * rng.uniform(8, 12), rng.uniform(1.5, 3.2) * (rng.random() < 0.65)
    ridge, top = x + across / 2, height + rise
    if near > 2:  # the end wall, which faces the camera
        end = np.array([(0, 0), (0, height), (across / 2, top), (across, height), (across, 0)])
        painter.stand(x, near, end, shaded(wall, 1.86 - bright), BUILDING)
        if rng.random() < 0.5:
            rows = np.arange(1.1, height - 1.8, 3.1)
            panes = grid((0.25 * across, 0.6 * across), rows, 0.9, 1.5)
            painter.stand(x, near, panes, GLASS, BUILDING)
    if rise:
        z0 = max(near, 1.0)
        slope = np.array([(x, height, z0), (ridge, top, z0), (ridge, top, far), (x, height, far)])
        painter.fill(slope, shaded(pick(rng, palette.ROOFS), 1.1 * bright), BUILDING)
        for z in rng.uniform(near, far - 1, rng.integers(0, 3)):  # chimneys
            stack = box(0, top - 0.6, 0.8, top + 1)
            painter.stand_along(ridge, z, stack, shaded(wall, bright), BUILDING)
            painter.stand(ridge, z, box(-0.4, top - 0.6, 0.4, top + 1), wall, BUILDING)

    def front(flat: Points, color: Color, gain: float = 1.0, label: int = BUILDING) -> None:
        painter.stand_along(x, near, flat, shaded(color, gain * bright), label)

    length = far - near
    front(box(0, 0, length, height), wall)
    front(box(0, height - 0.35, length, height), trim, 0.95)
    storeys = max(1, round(height / rng.uniform(2.9, 3.5)))
    storey = height / storeys
    columns = max(1, round(length / rng.uniform(1.9, 3.4)))
    pitch = length / columns
    width, tall = pitch * rng.choice([0.36, 0.45, 0.56, 0.88]), storey * rng.uniform(0.42, 0.62)
    is_shop = rng.random() < 0.45
    xs = pitch * (np.arange(columns) + 0.5) - width / 2
    ys = storey * (np.arange(int(is_shop), storeys) + 0.28)
    if len(ys):
        if near < 50:
            front(grid(xs - 0.14, ys - 0.14, width + 0.28, tall + 0.28), trim)
        panes = grid(xs, ys, width, tall)
        bright_panes = rng.random(len(panes)) < 0.3  # these reflect the sky
        front(panes, pick(rng, (GLASS, (40, 42, 46), (74, 80, 86))))
        if bright_panes.any():
            front(panes[bright_panes], mixed(GLASS, painter.light.haze, rng.uniform(0.3, 0.8)))
        if near < 26:  # glazing bars
            front(grid(xs + width / 2 - 0.03, ys, 0.06, tall), trim)
            front(grid(xs, ys + tall * 0.55, width, 0.07), trim)
    if is_shop:
        fascia = pick(rng, FASCIAS)
        front(box(0.2, 0, length - 0.2, storey - 0.2), fascia, 0.9)
        panes = grid(pitch * np.arange(columns) + 0.35, 0.5, pitch - 0.5, storey - 1.4)
        front(panes, mixed(GLASS, pick(rng, FASCIAS), 0.3))
        goods = panes[rng.random(len(panes)) < 0.6]
        if len(goods):
            low = goods.min(1, keepdims=True)
            goods = low + (goods - low) * (0.7, 0.35) + (0.2, 0.1)
            front(goods, pick(rng, palette.GOODS, 0.3), 1.3)
        ink = mixed(fascia, (240, 236, 220), 0.85) if sum(fascia) < 380 else (50, 40, 40)
        start, stop = sorted(rng.uniform(0.15, 0.85, 2) * length)
        board = box(start - 0.3, storey - 0.75, stop + 0.3, storey - 0.12)
        front(board, fascia, 1.1, SIGN if stop - start > 1 else BUILDING)
        letters = np.arange(start, stop - 0.2, 0.42)
        if len(letters) and near < 50:
            front(grid(letters, storey - 0.6, 0.28, 0.34), ink, 1.0, SIGN)
    door = xs[rng.integers(columns)] + width / 2
    front(box(door - 0.6, 0, door + 0.6, 2.35), trim)
    front(box(door - 0.46, 0, door + 0.46, 2.15), pick(rng, FASCIAS))


def draw_tree(painter: Painter, *, x: float, z: float, height: float) -> None:
    """A tree: with leaves, without leaves, or a conifer."""
    rng = painter.rng
    kind = rng.choice(["leaf", "bare", "conifer"], p=[0.62, 0.24, 0.14])
    leaf, bark = pick(rng, LEAVES), pick(rng, palette.BARKS)
    spread, foot = height * rng.uniform(0.24, 0.34), height * rng.uniform(0.22, 0.34)
    trunk = limb((0, 0), (rng.normal(0, 0.1), foot * 1.5), height * 0.05, height * 0.035)
    painter.stand(x, z, trunk, bark, TREE)
    if kind == "bare":
        _draw_branches(painter, x=x, z=z, start=(0.0, foot), top=height, bark=bark)
    elif kind == "conifer":
        tiers = np.linspace(foot * 0.5, height, 7)
        reach = 0.55 * spread * (1.15 - tiers[:6, None] / height)
        skirts = np.zeros((6, 10, 2))
        skirts[:, 0, 1] = np.minimum(tiers[1:] + 0.1 * height, height)
        skirts[:, 1:, 0] = reach * np.linspace(-1, 1, 9)
        skirts[:, 1:, 1] = tiers[:6, None] + 0.12 * height * rng.uniform(-0.5, 0.2, (6, 9))
        green = mixed(leaf, (36, 54, 40), 0.6)
        tones = [shaded(green, 0.75 + 0.4 * tier / height) for tier in tiers[:6].tolist()]
        painter.stand_each(x, z, skirts, tones, TREE)
    else:
        middle, half = (0, (foot + height) / 2), (spread, (height - foot) / 2)
        _draw_crown(painter, x=x, z=z, middle=middle, half=half, leaf=leaf)


def _draw_crown(
    painter: Painter, *, x: float, z: float, middle: Point, half: Point, leaf: Color
) -> None:
    """A crown of leaves, with its middle and half its size in metres."""
    rng, light = painter.rng, painter.light
    count = 12 if z < 60 else 6
    angle = rng.uniform(0, 2 * np.pi, count)
    reach = np.sqrt(rng.random(count)) * 0.66
    clumps = np.stack([reach * np.cos(angle), reach * np.sin(angle)], -1)
    clumps = clumps[np.argsort(clumps[:, 1])]  # the upper ones, in the light, are painted last
    size = rng.uniform(0.34, 0.52, (count, 1)) * rng.uniform(0.8, 1.2, (count, 20))
    size *= 1.0 if z < 60 else 1.3
    blobs = clumps[:, None] + size[..., None] * disc(0, 0, 1, 1, 20)
    lit = 0.84 + clumps @ (0.2 * light.sun_side * light.sun, 0.22)
    tones = [shaded(leaf, gain) for gain in lit.tolist()]
    painter.stand_each(x, z, blobs * half + middle, tones, TREE)
    if z > 90:
        return
    tufts = 150 if z < 40 else 45
    places = clumps[rng.integers(count, size=tufts)] + rng.normal(0, 0.17, (tufts, 2))
    blades = places[:, None] + rng.normal(0, 0.035, (tufts, 5, 2))
    tones = [shaded(leaf, 0.5), shaded(leaf, 0.72), shaded(mixed(leaf, (200, 200, 130), 0.12), 1.3)]
    for third, tone in zip(np.split(blades * half + middle, 3), tones, strict=True):
        painter.stand(x, z, third, tone, TREE)


def _draw_branches(
    painter: Painter, *, x: float, z: float, start: Point, top: float, bark: Color
) -> None:
    """The crown of a tree without leaves. The whole crown is labelled, gaps included."""
    rng, tips = painter.rng, np.array([start])
    heading, length, width = np.array([np.pi / 2]), (top - start[1]) * 0.36, top * 0.03
    strokes = []
    for _ in range(5):
        forks = 3 if len(tips) < 4 else 2
        heading = np.repeat(heading, forks) + rng.normal(0, 0.42, len(tips) * forks)
        tails = np.repeat(tips, forks, 0)
        reach = length * rng.uniform(0.6, 1.15, (len(tails), 1))
        tips = tails + reach * np.stack([np.cos(heading), np.sin(heading)], -1)
        across = np.stack([-np.sin(heading), np.cos(heading)], -1) * width / 2
        strokes.append(np.stack([tails - across, tails + across, tips + across, tips - across], 1))
        length, width = length * 0.72, width * 0.55
    painter.stand(x, z, cv2.convexHull(tips.astype(np.float32))[:, 0].astype(float), None, TREE)
    for quads in strokes[:2]:
        painter.stand_each(x, z, quads, [bark] * len(quads), TREE)
    for quads in strokes[2:]:
        painter.stand(x, z, quads, bark, TREE)


def draw_bush(painter: Painter, *, x: float, z: float, width: float) -> None:
    """A low shrub, or a piece of hedge."""
    rng, arc = painter.rng, np.linspace(0, np.pi, 16)
    leaf, tall = pick(rng, LEAVES), rng.uniform(0.5, 0.9)
    for gain in (0.75, 0.95):
        wobble = rng.uniform(0.85, 1.15, 16) * gain
        flat = np.stack([width * np.cos(arc) * wobble, 2 * tall * np.sin(arc) * wobble], -1)
        flat[[0, -1], 1] = 0
        painter.stand(x, z, flat, shaded(leaf, 0.55 + 0.5 * gain), TREE)
    places = rng.uniform((-0.7 * width, 0.1), (0.7 * width, 1.3 * tall), (40, 2))
    blades = places[:, None] + rng.normal(0, 0.06, (40, 4, 2))
    painter.stand(x, z, blades[:20], shaded(leaf, 0.6), TREE)
    painter.stand(x, z, blades[20:], shaded(leaf, 1.4), TREE)


def draw_lamp_post(painter: Painter, *, x: float, z: float, side: int) -> None:
    """A lamp post with its lamp over the street, or a plain mast."""
    rng, stand = painter.rng, partial(painter.stand, x, z, label=POLE)
    height, color = rng.uniform(5.5, 9), pick(rng, STEEL)
    stand(limb((0, 0), (0, height), 0.15, 0.1), color)
    stand(box(-0.11, 0, 0.11, 1.2), shaded(color, 0.85))
    if rng.random() < 0.7:
        arm = -side * rng.uniform(0.8, 2.0)
        stand(limb((0, height - 0.1), (arm, height + 0.35), 0.1), color)
        lamp = limb((arm * 0.8, height + 0.3), (arm * 1.25, height + 0.4), 0.2)
        stand(lamp, (196, 196, 186))


def draw_bollard(painter: Painter, *, x: float, z: float) -> None:
    """A knee-high post."""
    painter.stand(x, z, box(-0.08, 0, 0.08, 0.95), pick(painter.rng, STEEL), POLE)
    painter.stand(x, z, box(-0.08, 0.7, 0.08, 0.8), (200, 196, 186), POLE)


RED, WHITE, BLUE, INK = (178, 32, 36), (222, 222, 218), (32, 74, 152), (40, 40, 40)
# The shapes of each traffic sign, from back to front. Its size is 1 in each direction from (0, 0).
SIGNS: dict[str, tuple[tuple[Points, Color], ...]] = {
    "limit": (
        (disc(0, 0, 1, 1), RED),
        (disc(0, 0, 0.74, 0.74), WHITE),
        (grid((-0.4, 0.08), -0.35, 0.3, 0.7), INK),
    ),
    "warning": (
        (np.array([(-1.1, -0.8), (0, 1.1), (1.1, -0.8)]), RED),
        (np.array([(-0.68, -0.56), (0, 0.66), (0.68, -0.56)]), WHITE),
        (box(-0.12, -0.4, 0.12, 0.3), INK),
    ),
    "order": ((disc(0, 0, 1, 1), BLUE), (limb((0.45, 0.5), (-0.4, -0.45), 0.28), WHITE)),
    "panel": (),  # each is different
    "back": ((disc(0, 0, 1, 1), (126, 128, 128)), (box(-0.9, -0.12, 0.9, 0.12), (98, 100, 100))),
}


def draw_sign(
    painter: Painter, *, x: float, z: float, kinds: tuple[str, ...] = tuple(SIGNS)
) -> None:
    """One or two traffic signs on a post, each of one of the given kinds."""
    rng = painter.rng
    height, size = rng.uniform(2.1, 3.0), rng.uniform(0.3, 0.42)
    painter.stand(x, z, box(-0.035, 0, 0.035, height + size), pick(rng, STEEL), POLE)
    for level in range(rng.integers(1, 3)):
        kind = rng.choice(kinds)
        plates = SIGNS[kind]
        if kind == "panel":
            color = pick(rng, (BLUE, (28, 92, 60), (204, 168, 44), WHITE))
            lines = grid(-1.2, (-0.55, 0.15), rng.uniform(1.4, 2.4), 0.35)
            ink = WHITE if sum(color) < 480 else (40, 44, 60)
            plates = ((box(-1.5, -0.9, 1.5, 0.9), color), (lines, ink))
        for flat, color in plates:
            painter.stand(x, z, flat * size + (0, height - level * 2.1 * size), color, SIGN)


def draw_traffic_light(painter: Painter, *, x: float, z: float) -> None:
    """Three lamps in a black case, one of them lit."""
    rng, stand = painter.rng, partial(painter.stand, x, z, label=SIGN)
    painter.stand(x, z, box(-0.07, 0, 0.07, 3.3), pick(rng, STEEL), POLE)
    if rng.random() < 0.5:
        stand(box(-0.36, 2.2, 0.36, 3.65), (196, 196, 190))
    stand(box(-0.26, 2.3, 0.26, 3.55), (28, 30, 30))
    lit = rng.integers(3)
    for i, lamp in enumerate(((236, 56, 46), (250, 184, 60), (70, 224, 140))):
        stand(disc(0, 3.3 - 0.38 * i, 0.14, 0.14), lamp if i == lit else shaded(lamp, 0.25))


def draw_fence(painter: Painter, *, x: float, near: float, far: float) -> None:
    """Railings or boards along the street. Railings are labelled whole, gaps included."""
    rng, stand = painter.rng, partial(painter.stand_along, x, near, label=FENCE)
    height, length = rng.uniform(0.9, 1.7), far - near
    color, panel = pick(rng, palette.FENCES), box(0, 0, length, height)
    if rng.random() < 0.45:
        stand(panel, color)
        stand(grid(np.arange(0, length, 0.5), 0, 0.07, height), shaded(color, 0.7))
        stand(box(0, height - 0.1, length, height), shaded(color, 1.2))
    else:
        stand(panel, None)
        stand(grid(np.arange(0, length, 0.3 if length < 14 else 0.5), 0, 0.05, height), color)
        for y in (0.12, height - 0.1):
            stand(box(0, y, length, y + 0.08), color)


def draw_clutter(painter: Painter, *, x: float, z: float) -> None:
    """A bin or a box: an object of none of CamVid's 11 classes, labelled void."""
    rng = painter.rng
    color = pick(rng, (*STEEL, *FASCIAS))
    wide, tall = rng.uniform(0.2, 0.32), rng.uniform(0.8, 1.2)
    painter.stand(x, z, box(-wide, 0, wide, tall), color, VOID)
    lid = box(-wide - 0.05, tall - 0.15, wide + 0.05, tall)
    painter.stand(x, z, lid, shaded(color, 0.7), VOID)
