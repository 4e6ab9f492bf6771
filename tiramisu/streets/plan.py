"""The plan of a street: where its houses, lamp posts, cars and people are, in metres."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tiramisu.streets import objects
from tiramisu.streets.classes import BUILDING, TREE
from tiramisu.streets.painter import Painter
from tiramisu.streets.palette import BRICKS, LEAVES, Rng, pick
from tiramisu.streets.polygons import box
from tiramisu.streets.traffic import draw_car, draw_cyclist, draw_pedestrian

END = 130.0  # metres: where the street is closed by houses and trees


@dataclass(frozen=True, kw_only=True)
class Lot:
    """A piece of ground beside the street: with a house, or without one if its height is 0."""

    side: int
    x: float  # where the front stands
    near: float
    far: float
    height: float


@dataclass(frozen=True, kw_only=True)
class Street:
    """The plan of a street; positions in metres, -1 is the left and +1 the right side."""

    drive: int  # the side that traffic keeps to
    middle: float  # x of the centre line
    kerb: dict[int, float]
    parked: dict[int, bool]  # whether cars are parked at this kerb
    pavement: dict[int, float]  # width
    is_open: dict[int, bool]  # a side without houses
    junction: float  # where a side street starts; beyond END if there is none
    junction_width: float
    zebra: float  # where a zebra crossing starts; beyond END if there is none
    lots: tuple[Lot, ...]

    def is_junction(self, z: float, margin: float = 0.0) -> bool:
        """Whether the side street crosses at z."""
        return self.junction - margin < z < self.junction + self.junction_width + margin


def plan_street(rng: Rng) -> Street:
    """Choose kerbs, pavements, houses and crossings."""
    drive = int(rng.choice([-1, 1]))
    middle = -drive * rng.uniform(1.5, 2.1)
    parked = {side: rng.random() < 0.36 for side in (-1, 1)}
    kerb = {
        drive: drive * (rng.uniform(1.5, 2.6) + 2.1 * parked[drive]),
        -drive: middle - drive * (rng.uniform(2.6, 3.6) + 2.1 * parked[-drive]),
    }
    pavement = {side: rng.uniform(1.8, 4.2) for side in (-1, 1)}
    is_open = {side: rng.random() < 0.19 for side in (-1, 1)}
    junction = rng.uniform(12, 45) if rng.random() < 0.45 else 2 * END
    junction_width = rng.uniform(6, 9)
    lots = []
    for side in (-1, 1):
        front = kerb[side] + side * pavement[side]
        usual = rng.uniform(6.5, 14)
        near = rng.uniform(-8, 1)
        while near < END:
            far = near + rng.uniform(5, 17)
            if far > junction and near < junction + junction_width:
                if junction - near > 4:
                    far = junction - 1.5
                else:
                    near = junction + junction_width + 1.5
                    continue
            is_gap = is_open[side] or rng.random() < 0.12
            height = 0.0 if is_gap else max(3.5, usual * rng.uniform(0.75, 1.3))
            setback = 0.0 if rng.random() < 0.7 else rng.uniform(1, 4)
            x = front + side * setback
            if far > 1.5:
                lots.append(Lot(side=side, x=x, near=near, far=far, height=height))
            near = far
    return Street(
        drive=drive,
        middle=middle,
        kerb=kerb,
        parked=parked,
        pavement=pavement,
        is_open=is_open,
        junction=junction,
        junction_width=junction_width,
        zebra=rng.uniform(6, 11) if rng.random() < 0.2 else 2 * END,
        lots=tuple(lots),
    )


def place_items(painter: Painter, street: Street) -> None:
    """Queue everything that stands or moves in the street."""
    place_horizon(painter)
    _place_lots(painter, street)
    for side in (-1, 1):
        _place_furniture(painter, street, side)
    _place_traffic(painter, street)


def place_horizon(painter: Painter) -> None:
    """Houses and trees at the far end of the street."""
    rng, arc = painter.rng, np.linspace(0, np.pi, 20)
    for x in np.arange(-150, 150, 11.0):
        top, color = rng.uniform(4, 12), pick(rng, BRICKS)
        z = END + rng.uniform(5, 40)
        if rng.random() < 0.5:
            painter.queue(z, painter.stand, x, z, box(0, 0, 13, top), color, BUILDING)
        else:
            lumps = top * rng.uniform(0.8, 1.2, 20) * np.sin(arc) ** 0.5
            crown = np.stack([9 * np.cos(arc), lumps], -1)
            painter.queue(z, painter.stand, x, z, crown, pick(rng, LEAVES), TREE)


def _place_lots(painter: Painter, street: Street) -> None:
    """Houses; trees, bushes and fences where there is no house."""
    rng = painter.rng
    for lot in street.lots:
        side, near, far = lot.side, lot.near, lot.far
        if lot.height:
            where = {"x": lot.x, "side": side, "near": near, "far": far}
            painter.queue(far, objects.draw_house, painter, **where, height=lot.height)
            continue
        for _ in range(rng.integers(1, 4) if near < 50 else 1):
            x, z = lot.x + side * rng.uniform(1, 20), rng.uniform(max(near, 8), max(far, 8) + 8)
            painter.queue(z, objects.draw_tree, painter, x=x, z=z, height=rng.uniform(5, 12))
        for z in np.arange(max(near, 4), min(far, 60), 3) if rng.random() < 0.4 else ():
            painter.queue(z, objects.draw_bush, painter, x=lot.x + side * 1.4, z=z, width=2.1)
        if rng.random() < 0.6 and far < 70:
            painter.queue(far, objects.draw_fence, painter, x=lot.x, near=max(near, 1.5), far=far)


def _place_furniture(painter: Painter, street: Street, side: int) -> None:
    """Posts, signs, trees, fences, clutter and people on the pavement of a side."""
    rng, kerb, pavement = painter.rng, street.kerb[side], street.pavement[side]

    def add(draw: Callable[..., None], outward: float, z: float, **how: float) -> None:
        """Place an object `outward` metres from the kerb, but none on the side street."""
        if not street.is_junction(z):
            painter.queue(z, draw, painter, x=kerb + side * outward, z=z, **how)

    for z in np.arange(rng.uniform(7, 26), 90, rng.uniform(16, 30)):
        add(objects.draw_lamp_post, 0.45, z, side=side)
    for z in rng.uniform(6, 32, rng.integers(1, 4)):
        add(objects.draw_sign, rng.uniform(0.4, pavement - 0.3), z)
    if pavement > 2 and rng.random() < 0.45:
        for z in np.arange(rng.uniform(6, 16), 90, rng.uniform(7, 14)):
            add(objects.draw_tree, 0.9, z, height=rng.uniform(4.5, 8.5))
    if rng.random() < 0.25:
        for z in np.arange(rng.uniform(5, 10), 30, rng.uniform(1.8, 3)):
            add(objects.draw_bollard, 0.35, z)
    if rng.random() < 0.45:
        near = rng.uniform(4, 16)
        far = min(near + rng.uniform(5, 14), max(street.junction, near + 3))
        x = kerb + side * (0.3 if rng.random() < 0.6 else pavement - 0.1)
        painter.queue(far, objects.draw_fence, painter, x=x, near=near, far=far)
    for z in rng.uniform(5, 20, rng.integers(0, 2)):
        add(objects.draw_clutter, rng.uniform(0.5, pavement - 0.3), z)
    corner = min(street.junction, street.zebra) - 0.8
    if corner < END and rng.random() < 0.7:
        add(objects.draw_traffic_light, 0.4, corner)
    for _ in range(rng.integers(0, 4)):
        z, count = rng.uniform(6, 32), rng.integers(1, 3)
        for step in range(count):
            add(draw_pedestrian, rng.uniform(0.4, pavement - 0.2), z + 0.4 * step)


def _place_traffic(painter: Painter, street: Street) -> None:
    """Parked cars, cars driving ahead, coming and crossing; cyclists; people who cross the road."""
    rng, drive, middle, kerb = painter.rng, street.drive, street.middle, street.kerb

    def add(draw: Callable[..., None], x: float, z: float, **how: float) -> None:
        painter.queue(z, draw, painter, x=x, z=z, **how)

    for side in (-1, 1):
        ahead = 0.0 if side == drive else np.pi
        if street.parked[side]:
            z = rng.uniform(7, 16)
            while z < 75:
                if not street.is_junction(z, 4) and rng.random() < 0.75:
                    add(draw_car, kerb[side] - side * 1.05, z, heading=ahead)
                z += rng.uniform(5.6, 7.5)
    for is_coming in (False, True):
        z = rng.uniform(8 if is_coming else 9, 40)
        while z < 80 and rng.random() < 0.75:
            x = middle - drive * rng.uniform(1.3, 1.7) if is_coming else rng.normal(0, 0.2)
            add(draw_car, x, z, heading=np.pi * is_coming + rng.normal(0, 0.03))
            z += rng.uniform(9, 30)
    if street.junction < END and rng.random() < 0.6:
        x = rng.uniform(-9, 9)
        z = street.junction + street.junction_width * (0.3 if drive < 0 else 0.7)
        add(draw_car, x, z, heading=np.pi / 2 + rng.normal(0, 0.1))
    if rng.random() < 0.85:
        for z in rng.uniform(6, 22, rng.integers(1, 3)):
            side = int(rng.choice([-1, 1]))
            add(draw_cyclist, kerb[side] - side * rng.uniform(0.4, 1.0), z)
    crossing = min(street.zebra + 1.4, street.junction - 0.5)
    if crossing < END and rng.random() < 0.6:
        for x in rng.uniform(kerb[-1], kerb[1], rng.integers(1, 4)):
            add(draw_pedestrian, x, crossing + rng.uniform(-0.7, 0.7))
