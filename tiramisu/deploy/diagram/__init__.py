"""A network as a picture.

drawing  the page: title, boxes, arrows, legend; SVG, PNG or PDF
layout   where each part stands: a U for encoders with decoders, a column for the rest
shapes   boxes, arrows and the lengths of texts
"""
