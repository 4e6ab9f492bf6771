"""Pixels for people.

pictures  overlays, legends, grids and PNG files
heat      heat maps with their scale
figure    a Matplotlib figure as a picture
"""
