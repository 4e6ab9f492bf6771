"""The embedded data sets, drawn from seeds: street scenes, and single objects of a street.

scene     draw_scene: sky, ground, shadows, void and the camera's own faults, from far to near
layout    the plan of a street in metres, and what stands where
single    draw_object: one thing of a street before any background, and its class
objects   houses, trees, poles, signs, fences
traffic   cars, pedestrians, cyclists
painter   the pinhole camera, and the brush that fills image and label with the same corners
"""

from tiramisu.streets.scene import draw_scene
from tiramisu.streets.single_object import OBJECTS, draw_object

__all__ = ["OBJECTS", "draw_object", "draw_scene"]
