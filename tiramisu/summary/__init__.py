"""Describe a network as tables and as a picture, from a run of the network itself.

meta_run       a run on the meta device: sizes, multiply-adds, and which module reads which
network_parts  the blocks and layers that a reader sees as one
tables         a network block by block, layer by layer, or as a graph; the tables of these
drawing        the picture of the graph; figure_layout says where each block stands
"""
