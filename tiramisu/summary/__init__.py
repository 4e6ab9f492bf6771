"""Describe a network as tables and as a picture, from a run of the network itself.

block_table    blocks as in the paper's table 2, with parameters and multiply-adds
layer_table    every convolution and linear layer
graph          the blocks and the connections between them
drawing        the picture of the graph; figure_layout and figure_shapes belong to it
meta_run       a run on the meta device: shapes, strides, multiply-adds
connections    which part's output is read by which other part
network_parts  which modules are shown as one part
"""
