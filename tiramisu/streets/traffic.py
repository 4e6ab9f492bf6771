"""Cars, pedestrians and cyclists. All positions are in metres."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from tiramisu.streets import palette
from tiramisu.streets.classes import BICYCLIST, CAR, PEDESTRIAN
from tiramisu.streets.painter import Painter
from tiramisu.streets.palette import BLACK, CLOTHES, Color, mixed, pick, shaded
from tiramisu.streets.polygons import Point, Points, box, disc, limb

WHEELS = (0.17, 0.82)  # positions of the axles, as a share of the length


@dataclass(frozen=True, kw_only=True)
class Body:
    """The side view of a car: positions along it are 0 (tail) to 1 (nose), heights are metres."""

    length: float
    width: float
    outline: tuple[Point, ...]  # from the tail's bottom over the roof to the nose's
    screens: tuple[int, ...]  # which edges of the outline are glass
    windows: tuple[tuple[Point, ...], ...]
    waist: float  # above it the cabin grows narrower
    taper: float  # share of the width that is lost at the roof
    wheel: float  # radius

    @property
    def height(self) -> float:
        """Metres from the ground to the roof."""
        return max(height for _, height in self.outline)


HATCHBACK = Body(
    length=4.0, width=1.74, waist=0.92, taper=0.2, wheel=0.31, screens=(2, 4),
    outline=((0, 0.28), (0, 0.6), (0.01, 0.92), (0.1, 1.42), (0.52, 1.47), (0.72, 0.98),
             (0.96, 0.8), (1, 0.6), (1, 0.28)),
    windows=(((0.11, 0.98), (0.17, 1.33), (0.36, 1.37), (0.36, 0.98)),
             ((0.39, 0.98), (0.39, 1.37), (0.51, 1.37), (0.66, 0.98))),
)  # fmt: skip
SALOON = Body(
    length=4.5, width=1.8, waist=0.94, taper=0.22, wheel=0.32, screens=(3, 5),
    outline=((0, 0.28), (0, 0.6), (0.01, 0.9), (0.15, 0.97), (0.28, 1.38), (0.57, 1.42),
             (0.74, 0.96), (0.97, 0.78), (1, 0.58), (1, 0.28)),
    windows=(((0.22, 1.0), (0.3, 1.3), (0.43, 1.33), (0.43, 1.0)),
             ((0.46, 1.0), (0.46, 1.33), (0.56, 1.33), (0.68, 0.99))),
)  # fmt: skip
VAN = Body(
    length=5.2, width=1.95, waist=1.2, taper=0.1, wheel=0.34, screens=(2, 4),
    outline=((0, 0.32), (0, 0.7), (0, 1.25), (0.02, 2.1), (0.74, 2.15), (0.87, 1.25),
             (0.98, 1.05), (1, 0.65), (1, 0.32)),
    windows=(((0.68, 1.28), (0.68, 1.9), (0.74, 1.9), (0.83, 1.28)),),
)  # fmt: skip
BUS = Body(
    length=10.0, width=2.5, waist=1.3, taper=0.03, wheel=0.48, screens=(2, 4),
    outline=((0, 0.35), (0, 1.0), (0, 1.5), (0.01, 2.85), (0.985, 2.9), (1, 1.2), (1, 0.8),
             (1, 0.35)),
    windows=tuple(
        ((s, 1.35), (s, 2.4), (s + 0.11, 2.4), (s + 0.11, 1.35)) for s in np.arange(0.06, 0.9, 0.13)
    ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Car:
    """A car with its middle at (x, z).

    Heading 0 drives away from the camera, pi towards it, pi / 2 across.
    """

    body: Body
    x: float
    z: float
    heading: float

    def place(self, along: Points, up: Points, across: Points) -> Points:
        """Share of the length, metres up, metres right of the car's middle -> metres (K, 3)."""
        s = (along - 0.5) * self.body.length
        sin, cos = np.sin(self.heading), np.cos(self.heading)
        return np.stack([self.x + s * sin + across * cos, up, self.z + s * cos - across * sin], -1)

    def half_width(self, up: Points) -> Points:
        """Half the width at heights of metres `up`."""
        body = self.body
        above_waist = np.clip((up - body.waist) / (body.height - body.waist), 0, 1)
        return np.asarray(body.width / 2 * (1 - body.taper * above_waist))

    def flank(self, flat: Points, side: int, out: float = 0.0) -> Points:
        """A shape (K, 2) of the side view, on the left (-1) or right (+1) side."""
        return self.place(flat[:, 0], flat[:, 1], side * (self.half_width(flat[:, 1]) + out))

    def wheel(self, s: float, side: int, *, size: float = 1.0, out: float) -> Points:
        """A wheel, or its inner part: `size` is a share of the radius."""
        body = self.body
        radius = size * body.wheel
        return self.flank(disc(s, body.wheel, radius / body.length, radius), side, out)

    def face(self, edge: int, start: float = -1, stop: float = 1, inset: float = 0) -> Points:
        """The surface (4, 3) of an edge of the side view, from `start` to `stop` across (-1..1)."""
        first, last = np.array(self.body.outline[edge : edge + 2])
        low, high = first + inset * (last - first), last - inset * (last - first)
        flat = np.array([low, high, high, low])
        across = self.half_width(flat[:, 1]) * (start, start, stop, stop)
        return self.place(flat[:, 0], flat[:, 1], across)


def draw_car(
    painter: Painter, *, x: float, z: float, heading: float, body: Body | None = None
) -> None:
    """A vehicle: its side view, extended across its width.

    For the heading, see `Car`. Without a body, a car, a van or, rarely, a bus is chosen.
    """
    rng, haze = painter.rng, painter.light.haze
    if body is None:
        body = (HATCHBACK, SALOON, VAN, BUS)[rng.choice(4, p=[0.46, 0.36, 0.14, 0.04])]
    car, fill = Car(body=body, x=x, z=z, heading=heading), partial(painter.fill, label=CAR)
    paint = pick(rng, palette.PAINTS)
    glass = mixed((34, 40, 46), haze, rng.uniform(0.02, 0.25))
    below = np.array([-1, -1, 1, 1]) * 0.53 * body.width
    shadow = car.place(np.array([-0.02, 1.02, 1.02, -0.02]), np.zeros(4), below)
    painter.fill(shadow, (30, 30, 33))
    for side in (-1, 1):  # the part of the tyres that is seen below the body
        for s in WHEELS:
            fill(car.wheel(s, side, out=-0.02), BLACK)
        tread = side * np.array([0.49, 0.49, 0.37, 0.37]) * body.width
        for s in (0.1, 0.9):
            fill(car.place(np.full(4, s), np.array([0, 0.4, 0.4, 0]), tread), BLACK)
    # The body is convex: the surfaces that face the camera do not hide each other.
    last = len(body.outline) - 2
    tail, nose = 1, last - 1
    for edge in range(last + 1):
        if not painter.turns_clockwise(car.face(edge)):
            continue
        (s0, y0), (s1, y1) = body.outline[edge : edge + 2]
        level = 1 - abs(y1 - y0) / np.hypot((s1 - s0) * body.length, y1 - y0)
        sky = mixed(shaded(paint, 1.25), haze, 0.15)  # horizontal surfaces reflect the sky
        fill(car.face(edge), mixed(shaded(paint, 0.92), sky, level))
        if edge in body.screens:
            fill(car.face(edge, -0.9, 0.9, 0.1), glass)
        elif edge in (0, last):
            fill(car.face(edge), shaded(paint, 0.6))
            plate = (206, 176, 60) if edge == 0 else (214, 214, 208)
            fill(car.face(edge, -0.3, 0.3, 0.3), plate)
        elif edge in (tail, nose):
            lamp = (168, 26, 28) if edge == tail else (232, 230, 216)
            for start in (-0.96, 0.7):
                fill(car.face(edge, start, start + 0.26, 0.12), lamp)
            if edge == nose:
                fill(car.face(edge, -0.5, 0.5, 0.2), BLACK)
    bright = 0.95 * painter.light.on_side(1 if x > 0 else -1)
    outline = np.array(body.outline)
    for side in (-1, 1):
        if painter.turns_clockwise(car.flank(outline, side)) == (side > 0):
            fill(car.flank(outline, side), shaded(paint, bright))
            for window in body.windows:
                fill(car.flank(np.array(window), side), shaded(glass, 0.9))
            for s in WHEELS:
                fill(car.wheel(s, side, out=0.01), BLACK)
                fill(car.wheel(s, side, size=0.6, out=0.01), (130, 132, 134))


def draw_pedestrian(painter: Painter, *, x: float, z: float) -> None:
    """A person who walks or stands."""
    rng = painter.rng
    size = rng.uniform(0.9, 1.06) if rng.random() < 0.85 else rng.uniform(0.6, 0.75)  # a child
    stride, turn = rng.uniform(0.0, 0.3), rng.choice([-1, 1])
    trousers, coat = pick(rng, CLOTHES[:7]), pick(rng, CLOTHES)
    hem = rng.uniform(0.55, 0.95)  # a jacket or a long coat

    def draw(flat: Points, color: Color) -> None:
        painter.stand(x, z, flat * size, color, PEDESTRIAN)

    for step, gain in ((-stride, 0.75), (stride, 1.0)):
        knee = (step * 0.6 + 0.04 * turn, 0.48)
        draw(limb((0.06 * np.sign(step), 0.92), knee, 0.2, 0.15), shaded(trousers, gain))
        draw(limb(knee, (step, 0.06), 0.15, 0.11), shaded(trousers, gain))
        draw(box(step - 0.08, 0, step + 0.12, 0.08), (34, 32, 32))
    swing = stride * rng.uniform(0.3, 1.0)
    draw(limb((-0.17, 1.4), (-0.25 - swing * 0.5, 0.85), 0.12, 0.1), shaded(coat, 0.7))
    torso = [(-0.19, hem), (-0.23, 1.35), (-0.1, 1.5), (0.1, 1.5), (0.23, 1.35), (0.19, hem)]
    draw(np.array(torso), coat)
    draw(limb((0.17, 1.4), (0.25 + swing * 0.5, 0.85), 0.12, 0.1), shaded(coat, 0.85))
    if rng.random() < 0.35:
        draw(box(0.22, 0.62, 0.46, 0.95) * (turn, 1), pick(rng, CLOTHES))  # a bag
    skin = pick(rng, palette.SKINS)
    draw(disc(0.01 * turn, 1.62, 0.105, 0.14), skin)
    draw(disc(-0.02 * turn, 1.69, 0.115, 0.095), pick(rng, palette.HAIRS))


def draw_cyclist(painter: Painter, *, x: float, z: float, across: float = 0.5) -> None:
    """A person on a bicycle, seen from the side with probability `across`, else from behind."""
    rng, tyre = painter.rng, (30, 30, 32)
    coat, trousers, skin = pick(rng, CLOTHES), pick(rng, CLOTHES[:7]), pick(rng, palette.SKINS)
    frame, helmet = pick(rng, palette.PAINTS), pick(rng, (*palette.FASCIAS, *palette.HAIRS[:2]))
    turn = rng.choice([-1, 1])

    def draw(flat: Points, color: Color | None) -> None:
        painter.stand(x, z, flat * (turn, 1), color, BICYCLIST)

    if rng.random() < across:
        for hub in (-0.52, 0.52):
            rim, hole = disc(hub, 0.34, 0.34, 0.34, 18), disc(hub, 0.34, 0.28, 0.28, 18)
            draw(rim, None)  # the whole wheel is labelled, gaps included
            draw(np.concatenate([rim, rim[:1], hole[:1], hole[:0:-1], hole[:1]]), tyre)
        seat, bar, pedal = (-0.2, 0.9), (0.4, 0.98), (-0.04, 0.32)
        for start, end in (((-0.52, 0.34), seat), (seat, pedal), (pedal, bar), (seat, bar),
                           ((0.52, 0.34), bar), ((-0.52, 0.34), pedal)):  # fmt: skip
            draw(limb(start, end, 0.05), frame)
        for knee, foot, gain in (((0.2, 0.62), (0.06, 0.2), 0.7), ((0.24, 0.78), (0.1, 0.44), 1.0)):
            draw(limb(seat, knee, 0.2, 0.15), shaded(trousers, gain))
            draw(limb(knee, foot, 0.14, 0.1), shaded(trousers, gain))
        draw(limb((-0.22, 0.9), (0.14, 1.42), 0.3, 0.34), coat)
        draw(limb((0.14, 1.36), (0.42, 1.02), 0.12, 0.09), shaded(coat, 0.8))
        head = (0.24, 1.6)
    else:  # one wheel hides the other
        draw(box(-0.04, 0, 0.04, 0.68), tyre)
        draw(limb((-0.28, 1.0), (0.28, 1.0), 0.05), frame)
        for apart, low, gain in ((-0.12, 0.18, 0.8), (0.12, 0.38, 1.0)):
            knee = (apart * 1.15, low + 0.42)
            draw(limb((apart * 0.6, 0.95), knee, 0.2, 0.15), shaded(trousers, gain))
            draw(limb(knee, (apart * 0.9, low), 0.14, 0.1), shaded(trousers, gain))
        for arm in (-1, 1):
            draw(limb((0.19 * arm, 1.38), (0.3 * arm, 1.02), 0.12, 0.1), shaded(coat, 0.8))
        draw(np.array([(-0.18, 0.85), (-0.23, 1.38), (0.23, 1.38), (0.18, 0.85)]), coat)
        head = (0.0, 1.55)
    draw(disc(*head, 0.1, 0.14), skin)
    draw(disc(head[0] - 0.01, head[1] + 0.07, 0.125, 0.095), helmet)
