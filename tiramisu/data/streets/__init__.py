"""The embedded data set: street scenes drawn from a seed.

scene     draw_scene: sky, ground, shadows, void and the camera's own faults, from far to near
layout    the plan of a street in metres, and what stands where
objects   houses, trees, poles, signs, fences
traffic   cars, pedestrians, cyclists
painter   the pinhole camera, and the brush that fills image and label with the same corners
"""

from tiramisu.data.streets.scene import draw_scene

__all__ = ["draw_scene"]
