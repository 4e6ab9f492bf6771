"""A trained network as one file: ONNX, OpenVINO, torch.export, or a web page that runs it.

exporting  `tiramisu export`: write, compare with PyTorch, report
formats    the network as a graph for any size, written in a runtime's format
quantize   its convolutions in 8-bit integers
web_page   an ONNX file as a page that runs it in the browser
web_runtime  ONNX Runtime for browsers: downloaded once, or from a folder
config     the settings of `tiramisu export`
"""
