"""The embedded data set for segmentation: street scenes seen from a car, each drawn from a seed.

A scene is planned in metres (the street, its two sides, everything that stands or moves there) and
painted from far to near, so that near objects hide far ones. Classes, their order and their
imbalance are those of CamVid. Only the sensor noise depends on the image size: a seed gives the
same street at every size.
"""

import cv2
import numpy as np

from tiramisu.streets import palette
from tiramisu.streets.classes import BUILDING, CAR, ROAD, SIDEWALK, SKY, TREE, VOID
from tiramisu.streets.painter import Camera, Image, Light, Painter
from tiramisu.streets.palette import Color, Rng, pick, shaded
from tiramisu.streets.plan import END, Street, place_items, plan_street
from tiramisu.streets.polygons import box, disc, grid, ribbon, smooth_noise

MIN_SIZE = 32  # pixels
# How rough a surface looks, as a share of its brightness, in the order of the classes.
ROUGHNESS = np.array([0.0, 0.06, 0.05, 0.05, 0.07, 0.11, 0.03, 0.08, 0.04, 0.06, 0.05], np.float32)


def draw_scene(seed: int, *, height: int, width: int) -> tuple[Image, Image]:
    """Draw the street scene of a seed.

    The same arguments give the same bytes; another size gives the same street.

    Args:
        seed: 0 or more.
        height: height of the image in pixels, 32 or more.
        width: its width, likewise.

    Returns:
        The image, uint8 (H, W, 3) RGB, and the label, uint8 (H, W): 0..10 in CamVid's order (Sky,
        Building, Pole, Road, Sidewalk, Tree, SignSymbol, Fence, Car, Pedestrian, Bicyclist), and
        255 for void.

    Raises:
        ValueError: a side is shorter than 32 pixels.
    """
    if min(height, width) < MIN_SIZE:
        raise ValueError(
            f"a scene of {height}x{width} pixels was asked for; "
            f"give a height and a width of at least {MIN_SIZE}"
        )
    rng = np.random.default_rng(seed)
    light = choose_light(rng)
    camera = Camera(
        height=rng.uniform(1.25, 1.7),
        center=rng.normal(0.5, 0.08),
        horizon=rng.uniform(0.44, 0.56),
        bend=rng.normal(0, 0.0013),
    )
    street = plan_street(rng)
    painter = Painter(rng, camera, light, height=height, width=width)
    draw_sky(painter)
    _draw_ground(painter, street)
    _draw_shadows(painter, street)
    place_items(painter, street)
    painter.paint_queue()
    if rng.random() < 0.3:
        _draw_bonnet(painter)
    _blank_borders(painter.label, rng)
    return photograph(painter.image, painter.label, light, rng), painter.label


def choose_light(rng: Rng) -> Light:
    """Choose one of four kinds of weather and light: clear, bright, overcast or dusk."""
    # Each row: colour of the sky at the zenith, at the horizon, and of clouds; share of clouds;
    # strength of sunlight; exposure.
    zenith, haze, cloud, cloudiness, sun, exposure = (
        ((88, 134, 196), (196, 212, 226), (236, 238, 240), rng.uniform(0.0, 0.5), 0.9, 1.06),
        ((206, 220, 234), (240, 242, 242), (250, 250, 250), 0.6, rng.uniform(0.3, 0.8), 1.1),
        ((168, 174, 182), (206, 208, 210), (138, 144, 152), rng.uniform(0.5, 0.9), 0.05, 0.96),
        ((88, 100, 136), (230, 186, 146), (112, 104, 116), rng.uniform(0.2, 0.8), 0.3, 0.72),
    )[rng.choice(4, p=[0.32, 0.26, 0.24, 0.18])]
    warmth = rng.normal(0, 0.04)
    return Light(
        zenith=zenith,
        haze=haze,
        cloud=cloud,
        cloudiness=cloudiness,
        sun=sun,
        sun_side=int(rng.choice([-1, 1])),
        tint=(1 + warmth, 1.0, 1 - warmth),
        exposure=exposure * rng.uniform(0.85, 1.12),
        visibility=rng.uniform(180, 600),
    )


def draw_sky(painter: Painter) -> None:
    """Fill the whole image with a sky and its clouds."""
    light = painter.light
    zenith, haze, cloud = np.array((light.zenith, light.haze, light.cloud), np.float32)
    rows = np.linspace(0, 1, len(painter.label), dtype=np.float32) / painter.camera.horizon
    rows = np.minimum(rows, 1)[:, None, None] ** 1.4
    sky = zenith * (1 - rows) + haze * rows
    puffs = sum(
        share * smooth_noise(painter.rng, count, count, painter.label.shape)
        for count, share in ((5, 0.5), (11, 0.3), (26, 0.2))
    )
    cover = np.clip((puffs - 0.85 + 0.75 * light.cloudiness) * 4, 0, 0.9)[..., None]
    painter.image[:] = np.clip(sky + cover * (cloud - sky), 0, 255)


def _draw_ground(painter: Painter, street: Street) -> None:
    rng, kerbs = painter.rng, street.kerb
    asphalt = palette.pick_asphalt(rng, 122)
    paving, grass = pick(rng, palette.PAVINGS), pick(rng, palette.GRASSES)
    for side, kerb in sorted(kerbs.items()):
        width = street.pavement[side]
        beyond, label = (grass, TREE) if street.is_open[side] else (paving, SIDEWALK)
        painter.fill(ribbon(kerb, side * 400, 1, 400), beyond, label)
        painter.fill(ribbon(kerb, kerb + side * width, 1, 400), paving, SIDEWALK)
        painter.lay(grid(kerb, np.arange(2, 24, 0.9), side * width, 0.03), shaded(paving, 0.86))
    painter.fill(ribbon(kerbs[-1], kerbs[1], 1, 400), asphalt, ROAD)
    for side, kerb in sorted(kerbs.items()):
        painter.fill(ribbon(kerb, kerb + side * 0.16, 1, 120), shaded(paving, 1.2), SIDEWALK)
        painter.fill(ribbon(kerb - side * 0.14, kerb, 1, 120), shaded(asphalt, 0.72), ROAD)
    if street.junction < END:
        across = box(-90, street.junction, 90, street.junction + street.junction_width)
        painter.lay(across, asphalt, ROAD)
    _draw_wear(painter, street, asphalt)
    _draw_markings(painter, street)


def _draw_wear(painter: Painter, street: Street, asphalt: Color) -> None:
    """Tyre tracks, repaired asphalt and manholes."""
    rng, left, right = painter.rng, street.kerb[-1], street.kerb[1]
    for lane in (0.0, 2 * street.middle):
        for wheel in (-0.75, 0.75):
            track = ribbon(lane + wheel - 0.25, lane + wheel + 0.25, 1, 60)
            painter.fill(track, shaded(asphalt, rng.uniform(0.93, 1.05)))
    for _ in range(rng.integers(2, 6)):
        x, z = rng.uniform(left + 0.3, right - 0.3), rng.uniform(3, 18)
        if rng.random() < 0.4:
            painter.lay(disc(x, z, 0.3, 0.3), shaded(asphalt, 0.6), ROAD)
        else:
            patch = box(x, z, min(x + rng.uniform(0.6, 2.5), right - 0.2), z + rng.uniform(1, 7))
            painter.lay(patch, shaded(asphalt, rng.uniform(0.84, 1.12)), ROAD)


def _draw_markings(painter: Painter, street: Street) -> None:
    """The centre line, lines along the kerbs, a zebra crossing or a stop line."""
    rng, kerbs = painter.rng, street.kerb
    white = shaded((212, 212, 206), rng.uniform(0.75, 1.0))
    dash, gap = rng.uniform(1.5, 4), rng.uniform(2, 5)
    starts = np.arange(rng.uniform(1, 5), 90, dash + gap)
    starts = starts[[not street.is_junction(z, 3) for z in starts]]
    painter.lay(grid(street.middle - 0.06, starts, 0.12, dash), white)
    if rng.random() < 0.5:
        yellow = (196, 168, 72) if rng.random() < 0.6 else white
        for side, kerb in sorted(kerbs.items()):
            for x in (kerb - side * 0.35, kerb - side * 0.6):
                painter.fill(ribbon(x, x - side * 0.1, 1, min(street.junction, 90.0)), yellow)
    if street.zebra < END:
        xs = np.arange(kerbs[-1] + 0.4, kerbs[1] - 0.5, 1.1)
        painter.lay(grid(xs, street.zebra, 0.55, 2.8), white)
    elif street.junction < END:
        left, right = sorted((street.middle, kerbs[street.drive]))
        stop = street.junction
        painter.lay(box(left + 0.2, stop - 2, right - 0.2, stop - 1.6), white)


def _draw_shadows(painter: Painter, street: Street) -> None:
    """The shadows of the houses on the sunny side darken the street."""
    side, sun = painter.light.sun_side, painter.light.sun
    reach = painter.rng.uniform(0.2, 0.9)
    shadows = [
        ribbon(lot.x, lot.x - side * lot.height * reach, lot.near, lot.far)
        for lot in street.lots
        if lot.side == side and lot.height
    ]
    if sun > 0.2 and shadows:
        painter.shade(shadows, gain=1 - 0.5 * sun, blur=0.002)


def _draw_bonnet(painter: Painter) -> None:
    """The bonnet of the car that carries the camera; void, as in CamVid."""
    rise = painter.rng.uniform(0.03, 0.09)
    color = pick(painter.rng, ((40, 42, 46), (90, 92, 98), (50, 60, 84)))
    for shrink, gain in ((1.0, 0.8), (0.8, 1.0), (0.5, 1.25)):
        dome = disc(0.5, 1.02, 0.62, (rise + 0.02) * shrink, 40)
        painter.stamp(dome, shaded(color, gain), VOID)


def _blank_borders(label: Image, rng: Rng) -> None:
    """Make some borders between classes void, one pixel wide, as in labels drawn by hand.

    Small images have more border for their size, so a smaller part of it becomes void. Thin
    classes, which have few pixels, keep them all.
    """
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    border = cv2.morphologyEx(label, cv2.MORPH_GRADIENT, cross) > 0  # a neighbour differs
    is_wide = np.isin(label, (SKY, BUILDING, ROAD, SIDEWALK, TREE, CAR))
    where = smooth_noise(rng, 24, 32, label.shape)
    label[border & is_wide & (where < len(label) / 600)] = VOID


def photograph(painted: Image, label: Image, light: Light, rng: Rng) -> Image:
    """Turn a painting into a photograph: add texture, exposure, blur of the lens, sensor noise.

    Both are uint8 (H, W, 3) RGB. The label (H, W) chooses the texture of each pixel.
    """
    height, width = label.shape
    rough = np.append(ROUGHNESS, np.full(245, 0.05, np.float32))[label]
    grain = sum(
        share * (smooth_noise(rng, rows, rows * 4 // 3, label.shape) - 0.5)
        for rows, share in ((12, 0.8), (50, 1.0), (150, 1.2))
    )
    gain = light.exposure * (1 + rough * grain)
    gain *= 1 - rng.uniform(0.0, 0.3) * (
        np.linspace(-0.6, 0.6, height, dtype=np.float32)[:, None] ** 2
        + np.linspace(-0.6, 0.6, width, dtype=np.float32) ** 2
    )
    bright = painted * (gain[..., None] * np.array(light.tint, np.float32))
    blurred = cv2.GaussianBlur(bright, (0, 0), max(height * rng.uniform(0.0006, 0.0016), 0.2))
    noise = rng.standard_normal((height, width, 3), np.float32) * np.float32(rng.uniform(1, 4.5))
    return np.asarray(np.clip(blurred + noise, 0, 255), np.uint8)
