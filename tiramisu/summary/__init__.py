"""What a network is made of, read off the network itself as it runs.

table    the paper's blocks with widths, parameters and multiply-adds
layers   each convolution and linear layer
graph    the blocks and what feeds what, to be drawn
trace    a run on the meta device: shapes, strides, multiply-adds
flow     which part's output reaches which other part
outline  which modules are shown as one part
"""
