"""A trained network as one file that a runtime executes: ONNX, OpenVINO or torch.export.

exporting  `tiramisu export`: write, compare with PyTorch, report
formats    the network as a graph for any size, written in a runtime's format
quantize   its convolutions in 8-bit integers
config     the settings of `tiramisu export`
"""
