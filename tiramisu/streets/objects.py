"""Objects that stand in a street. Each function draws one at a given place, in metres.

The random numbers decide what an object looks like; `plan.py` decides where it stands.
"""

import cv2
import numpy as np

from tiramisu.streets.painter import (
    BUILDING,
    FENCE,
    POLE,
    SIGN,
    TREE,
    VOID,
    Color,
    Painter,
    Point,
    Points,
    along,
    box,
    disc,
    grid,
    limb,
    mixed,
    shaded,
    upright,
)

Rng = np.random.Generator

# Many surfaces have the same colours on purpose: a grey car must be recognised by its shape.
BRICKS: tuple[Color, ...] = (
    (138, 84, 66), (156, 104, 80), (118, 86, 72), (170, 146, 112), (186, 168, 138), (120, 108, 98),
    (206, 200, 188), (222, 214, 200), (150, 148, 146), (104, 102, 104), (198, 176, 150),
    (182, 132, 108), (150, 164, 172), (210, 186, 160), (92, 74, 66),
)  # fmt: skip
ROOFS: tuple[Color, ...] = ((92, 84, 84), (110, 76, 64), (72, 74, 82), (128, 92, 76))
LEAVES: tuple[Color, ...] = (
    (62, 84, 44), (78, 96, 50), (50, 66, 40), (96, 104, 58), (88, 78, 52), (112, 92, 50),
    (58, 72, 52), (122, 112, 62),
)  # fmt: skip
FASCIAS: tuple[Color, ...] = (
    (36, 44, 92), (140, 30, 34), (34, 72, 54), (40, 40, 44), (196, 160, 60), (214, 208, 196),
    (90, 44, 84), (36, 104, 140),
)  # fmt: skip
GOODS: tuple[Color, ...] = ((206, 202, 196), (190, 150, 60), (130, 44, 44), (92, 98, 112))
STEEL: tuple[Color, ...] = ((58, 62, 62), (96, 100, 100), (134, 138, 138), (46, 58, 50))
GLASS: Color = (52, 60, 70)


def pick(rng: Rng, colors: tuple[Color, ...], spread: float = 0.1) -> Color:
    """One of the colours, changed a little at random."""
    gain = 1 + spread * rng.uniform(-1, 1, 4)
    color = colors[rng.integers(len(colors))]
    return (
        color[0] * gain[0] * gain[3],
        color[1] * gain[1] * gain[3],
        color[2] * gain[2] * gain[3],
    )


def draw_house(
    painter: Painter, rng: Rng, *, x: float, side: int, near: float, far: float, height: float
) -> None:
    """A house whose front stands at `x` along the street, on side -1 (left) or +1 (right)."""
    bright = painter.light.on_side(side)
    wall = pick(rng, BRICKS)
    trim = mixed(wall, (214, 210, 202), rng.uniform(0.2, 0.9))
    depth, rise = rng.uniform(8, 12), rng.uniform(1.5, 3.2) * (rng.random() < 0.65)
    ridge = x + side * depth / 2
    if near > 2:  # the end wall, which faces the camera
        end = upright(x, near, np.array([(0, 0), (0, height), (side * depth / 2, height + rise),
                                         (side * depth, height), (side * depth, 0)]))  # fmt: skip
        painter.fill(end, shaded(wall, 1.86 - bright), BUILDING)
        if rng.random() < 0.5:
            panes = grid(
                side * depth * np.array([0.25, 0.6]), np.arange(1.1, height - 1.8, 3.1), 0.9, 1.5
            )
            painter.fill(upright(x, near, panes), GLASS, BUILDING)
    if rise:
        z0, z1 = max(near, 1.0), far
        slope = np.array([(x, height, z0), (ridge, height + rise, z0),
                          (ridge, height + rise, z1), (x, height, z1)])  # fmt: skip
        painter.fill(slope, shaded(pick(rng, ROOFS), 1.1 * bright), BUILDING)
        for z in rng.uniform(near, far - 1, rng.integers(0, 3)):
            top = height + rise
            stack = along(ridge, z, box(0, top - 0.6, 0.8, top + 1))
            painter.fill(stack, shaded(wall, bright), BUILDING)
            painter.fill(upright(ridge, z, box(-0.4, top - 0.6, 0.4, top + 1)), wall, BUILDING)

    def front(flat: Points, color: Color, gain: float = 1.0, label: int = BUILDING) -> None:
        painter.fill(along(x, near, flat), shaded(color, gain * bright), label)

    length = far - near
    front(box(0, 0, length, height), wall)
    front(box(0, height - 0.35, length, height), trim, 0.95)
    storeys = max(1, round(height / rng.uniform(2.9, 3.5)))
    storey = height / storeys
    columns = max(1, round(length / rng.uniform(1.9, 3.4)))
    pitch = length / columns
    width, tall = pitch * rng.choice([0.36, 0.45, 0.56, 0.88]), storey * rng.uniform(0.42, 0.62)
    is_shop = rng.random() < 0.45
    first = 1 if is_shop else 0
    xs = pitch * (np.arange(columns) + 0.5) - width / 2
    ys = storey * (np.arange(first, storeys) + 0.28)
    if len(ys):
        rim = 0.14 if near < 50 else 0.0
        if rim:
            front(grid(xs - rim, ys - rim, width + 2 * rim, tall + 2 * rim), trim)
        panes = grid(xs, ys, width, tall)
        bright_panes = rng.random(len(panes)) < 0.3  # these reflect the sky
        front(panes, pick(rng, (GLASS, (40, 42, 46), (74, 80, 86))), 1.0)
        if bright_panes.any():
            front(panes[bright_panes], mixed(GLASS, painter.light.haze, rng.uniform(0.3, 0.8)))
        if near < 26:  # glazing bars
            front(grid(xs + width / 2 - 0.03, ys, 0.06, tall), trim)
            front(grid(xs, ys + tall * 0.55, width, 0.07), trim)
    if is_shop:
        fascia = pick(rng, FASCIAS)
        front(box(0.2, 0, length - 0.2, storey - 0.2), fascia, 0.9)
        panes = grid(pitch * np.arange(columns) + 0.35, np.array([0.5]), pitch - 0.5, storey - 1.4)
        front(panes, mixed(GLASS, pick(rng, FASCIAS), 0.3))
        goods = panes[rng.random(len(panes)) < 0.6]
        if len(goods):
            low = goods.min(1, keepdims=True)
            front(low + (goods - low) * (0.7, 0.35) + (0.2, 0.1), pick(rng, GOODS, 0.3), 1.3)
        ink = mixed(fascia, (240, 236, 220), 0.85) if sum(fascia) < 380 else (50, 40, 40)
        start, stop = sorted(rng.uniform(0.15, 0.85, 2) * length)
        board = box(start - 0.3, storey - 0.75, stop + 0.3, storey - 0.12)
        front(board, fascia, 1.1, SIGN if stop - start > 1 else BUILDING)
        letters = np.arange(start, stop - 0.2, 0.42)
        if len(letters) and near < 50:
            front(grid(letters, np.array([storey - 0.6]), 0.28, 0.34), ink, 1.0, SIGN)
    door = xs[rng.integers(columns)] + width / 2
    front(box(door - 0.6, 0, door + 0.6, 2.35), trim)
    front(box(door - 0.46, 0, door + 0.46, 2.15), pick(rng, FASCIAS))


def draw_tree(painter: Painter, rng: Rng, *, x: float, z: float, height: float) -> None:
    """A tree: with leaves, without leaves, or a conifer."""
    kind = rng.choice(["leaf", "bare", "conifer"], p=[0.62, 0.24, 0.14])
    leaf, bark = pick(rng, LEAVES), pick(rng, ((84, 72, 60), (66, 60, 54), (104, 98, 88)))
    spread = height * rng.uniform(0.24, 0.34)
    foot = height * rng.uniform(0.22, 0.34)
    trunk = limb((0, 0), (rng.normal(0, 0.1), foot * 1.5), height * 0.05, height * 0.035)
    painter.fill(upright(x, z, trunk), bark, TREE)
    if kind == "bare":
        _draw_branches(painter, rng, x=x, z=z, start=(0.0, foot), top=height, bark=bark)
        return
    if kind == "conifer":
        tiers = np.linspace(foot * 0.5, height, 7)
        reach = 0.55 * spread * (1.15 - tiers[:6, None] / height)
        skirts = np.zeros((6, 10, 2))
        skirts[:, 0, 1] = np.minimum(tiers[1:] + 0.1 * height, height)
        skirts[:, 1:, 0] = reach * np.linspace(-1, 1, 9)
        skirts[:, 1:, 1] = tiers[:6, None] + 0.12 * height * rng.uniform(-0.5, 0.2, (6, 9))
        green = mixed(leaf, (36, 54, 40), 0.6)
        tones = [shaded(green, 0.75 + 0.4 * tier / height) for tier in tiers[:6].tolist()]
        painter.fill_each(upright(x, z, skirts), tones, TREE)
        return
    count = 12 if z < 60 else 6
    angle = rng.uniform(0, 2 * np.pi, count)
    reach = np.sqrt(rng.random(count)) * 0.66
    clumps = np.stack([reach * np.cos(angle), reach * np.sin(angle)], -1)
    clumps = clumps[np.argsort(clumps[:, 1])]  # the upper ones, in the light, are painted last
    size = rng.uniform(0.34, 0.52, (count, 1)) * rng.uniform(0.8, 1.2, (count, 20))
    size *= 1.0 if z < 60 else 1.3
    blobs = clumps[:, None] + size[..., None] * disc(0, 0, 1, 1, 20)
    sunny = painter.light.sun_side * painter.light.sun
    lit = 0.84 + clumps @ (0.2 * sunny, 0.22)
    middle, half = (foot + height) / 2, (height - foot) / 2
    crown = upright(x, z, blobs * (spread, half) + (0, middle))
    painter.fill_each(crown, [shaded(leaf, gain) for gain in lit.tolist()], TREE)
    if z > 90:
        return
    tufts = 150 if z < 40 else 45
    places = clumps[rng.integers(count, size=tufts)] + rng.normal(0, 0.17, (tufts, 2))
    blades = places[:, None] + rng.normal(0, 0.035, (tufts, 5, 2))
    blades = upright(x, z, blades * (spread, half) + (0, middle))
    third = tufts // 3
    painter.fill(blades[:third], shaded(leaf, 0.5), TREE)
    painter.fill(blades[third : 2 * third], shaded(leaf, 0.72), TREE)
    painter.fill(blades[2 * third :], shaded(mixed(leaf, (200, 200, 130), 0.12), 1.3), TREE)


def _draw_branches(
    painter: Painter, rng: Rng, *, x: float, z: float, start: Point, top: float, bark: Color
) -> None:
    """The crown of a tree without leaves. The whole crown is labelled, gaps included."""
    tips = np.array([start])
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
    crown = cv2.convexHull(tips.astype(np.float32))[:, 0]
    painter.fill(upright(x, z, crown), None, TREE)
    for quads in strokes[:2]:
        painter.fill_each(upright(x, z, quads), [bark] * len(quads), TREE)
    for quads in strokes[2:]:
        painter.fill(upright(x, z, quads), bark, TREE)


def draw_bush(painter: Painter, rng: Rng, *, x: float, z: float, width: float) -> None:
    """A low shrub, or a piece of hedge."""
    leaf = pick(rng, LEAVES)
    tall = rng.uniform(0.5, 0.9)
    arc = np.linspace(0, np.pi, 16)
    for gain in (0.75, 0.95):
        wobble = rng.uniform(0.85, 1.15, 16) * gain
        flat = np.stack([width * np.cos(arc) * wobble, 2 * tall * np.sin(arc) * wobble], -1)
        flat[[0, -1], 1] = 0
        painter.fill(upright(x, z, flat), shaded(leaf, 0.55 + 0.5 * gain), TREE)
    places = rng.uniform((-0.7 * width, 0.1), (0.7 * width, 1.3 * tall), (40, 2))
    blades = places[:, None] + rng.normal(0, 0.06, (40, 4, 2))
    painter.fill(upright(x, z, blades[:20]), shaded(leaf, 0.6), TREE)
    painter.fill(upright(x, z, blades[20:]), shaded(leaf, 1.4), TREE)


def draw_lamp_post(painter: Painter, rng: Rng, *, x: float, z: float, side: int) -> None:
    """A lamp post with its lamp over the street, or a plain mast."""
    height, color = rng.uniform(5.5, 9), pick(rng, STEEL)
    painter.fill(upright(x, z, limb((0, 0), (0, height), 0.15, 0.1)), color, POLE)
    painter.fill(upright(x, z, box(-0.11, 0, 0.11, 1.2)), shaded(color, 0.85), POLE)
    if rng.random() < 0.7:
        arm = -side * rng.uniform(0.8, 2.0)
        bent = limb((0, height - 0.1), (arm, height + 0.35), 0.1)
        painter.fill(upright(x, z, bent), color, POLE)
        lamp = limb((arm * 0.8, height + 0.3), (arm * 1.25, height + 0.4), 0.2)
        painter.fill(upright(x, z, lamp), (196, 196, 186), POLE)


def draw_bollard(painter: Painter, rng: Rng, *, x: float, z: float) -> None:
    """A knee-high post."""
    color = pick(rng, STEEL)
    painter.fill(upright(x, z, box(-0.08, 0, 0.08, 0.95)), color, POLE)
    painter.fill(upright(x, z, box(-0.08, 0.7, 0.08, 0.8)), (200, 196, 186), POLE)


SIGNS = ("limit", "warning", "order", "panel", "back")


def draw_sign(
    painter: Painter, rng: Rng, *, x: float, z: float, kinds: tuple[str, ...] = SIGNS
) -> None:
    """One or two traffic signs on a post, each of one of the given kinds."""
    height, size = rng.uniform(2.1, 3.0), rng.uniform(0.3, 0.42)
    post = box(-0.035, 0, 0.035, height + size)
    painter.fill(upright(x, z, post), pick(rng, STEEL), POLE)
    for level in range(rng.integers(1, 3)):
        y = height - level * 2.1 * size

        def plate(flat: Points, color: Color, y: float = y) -> None:
            painter.fill(upright(x, z, flat * size + (0, y)), color, SIGN)

        red, white, blue = (178, 32, 36), (222, 222, 218), (32, 74, 152)
        kind = rng.choice(kinds)
        if kind == "limit":
            plate(disc(0, 0, 1, 1), red)
            plate(disc(0, 0, 0.74, 0.74), white)
            plate(grid(np.array([-0.4, 0.08]), np.array([-0.35]), 0.3, 0.7), (40, 40, 40))
        elif kind == "warning":
            plate(np.array([(-1.1, -0.8), (0, 1.1), (1.1, -0.8)]), red)
            plate(np.array([(-0.68, -0.56), (0, 0.66), (0.68, -0.56)]), white)
            plate(box(-0.12, -0.4, 0.12, 0.3), (40, 40, 40))
        elif kind == "order":
            plate(disc(0, 0, 1, 1), blue)
            plate(limb((0.45, 0.5), (-0.4, -0.45), 0.28), white)
        elif kind == "panel":
            ink = pick(rng, (blue, (28, 92, 60), (204, 168, 44), white))
            plate(box(-1.5, -0.9, 1.5, 0.9), ink)
            pale = sum(ink) < 480
            lines = grid(np.array([-1.2]), np.array([-0.55, 0.15]), rng.uniform(1.4, 2.4), 0.35)
            plate(lines, white if pale else (40, 44, 60))
        else:  # the grey back of a sign for the opposite direction
            plate(disc(0, 0, 1, 1), (126, 128, 128))
            plate(box(-0.9, -0.12, 0.9, 0.12), (98, 100, 100))


def draw_traffic_light(painter: Painter, rng: Rng, *, x: float, z: float) -> None:
    """Three lamps in a black case, one of them lit."""
    painter.fill(upright(x, z, box(-0.07, 0, 0.07, 3.3)), pick(rng, STEEL), POLE)
    if rng.random() < 0.5:
        painter.fill(upright(x, z, box(-0.36, 2.2, 0.36, 3.65)), (196, 196, 190), SIGN)
    painter.fill(upright(x, z, box(-0.26, 2.3, 0.26, 3.55)), (28, 30, 30), SIGN)
    lit = rng.integers(3)
    for i, lamp in enumerate(((236, 56, 46), (250, 184, 60), (70, 224, 140))):
        lens = disc(0, 3.3 - 0.38 * i, 0.14, 0.14)
        painter.fill(upright(x, z, lens), lamp if i == lit else shaded(lamp, 0.25), SIGN)


def draw_fence(painter: Painter, rng: Rng, *, x: float, near: float, far: float) -> None:
    """Railings or boards along the street. Railings are labelled whole, gaps included."""
    height, length = rng.uniform(0.9, 1.7), far - near
    color = pick(rng, ((44, 48, 48), (110, 84, 62), (178, 176, 168), (62, 78, 64), (134, 130, 122)))
    panel = box(0, 0, length, height)
    if rng.random() < 0.45:
        painter.fill(along(x, near, panel), color, FENCE)
        boards = grid(np.arange(0, length, 0.5), np.zeros(1), 0.07, height)
        painter.fill(along(x, near, boards), shaded(color, 0.7), FENCE)
        painter.fill(
            along(x, near, box(0, height - 0.1, length, height)), shaded(color, 1.2), FENCE
        )
        return
    painter.fill(along(x, near, panel), None, FENCE)
    gap = 0.3 if length < 14 else 0.5
    bars = grid(np.arange(0, length, gap), np.zeros(1), 0.05, height)
    painter.fill(along(x, near, bars), color, FENCE)
    for y in (0.12, height - 0.1):
        painter.fill(along(x, near, box(0, y, length, y + 0.08)), color, FENCE)


def draw_clutter(painter: Painter, rng: Rng, *, x: float, z: float) -> None:
    """A bin or a box: an object of none of CamVid's 11 classes, labelled void."""
    color = pick(rng, (*STEEL, *FASCIAS))
    wide, tall = rng.uniform(0.2, 0.32), rng.uniform(0.8, 1.2)
    painter.fill(upright(x, z, box(-wide, 0, wide, tall)), color, VOID)
    lid = box(-wide - 0.05, tall - 0.15, wide + 0.05, tall)
    painter.fill(upright(x, z, lid), shaded(color, 0.7), VOID)
