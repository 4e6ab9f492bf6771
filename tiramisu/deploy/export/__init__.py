"""A trained network as one file that a runtime executes: ONNX, OpenVINO or torch.export.

command   `tiramisu export`: write, compare with PyTorch, report
graph     the network as a graph for any size, written in a runtime's format
quantize  its convolutions in 8-bit integers
runtime   ExportedModel: such a file, loaded, in the place of a PyTorch model
packages  what only exports need: `pip install "tiramisu-seg[export]"`
"""
