"""The embedded data sets, drawn from seeds: street scenes, and single objects of a street.

scene            draw_scene: a street scene with sky, ground, shadows, void and camera noise
plan             the plan of a street in metres: where houses, lamp posts, cars and people are
single_object    draw_object: one object of a street in front of a background, and its class
objects          houses, trees, poles, signs, fences
traffic          cars, pedestrians, cyclists
painter          the pinhole camera, and the painter that fills shapes in image and label alike
polygons         boxes, discs, strokes and strips of ground; smooth noise
palette          colours
classes          the values in labels
"""

from tiramisu.streets.classes import NAMES
from tiramisu.streets.scene import draw_scene
from tiramisu.streets.single_object import OBJECTS, draw_object

__all__ = ["NAMES", "OBJECTS", "draw_object", "draw_scene"]
