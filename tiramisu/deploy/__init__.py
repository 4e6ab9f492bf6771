"""How a trained network is used.

config     the settings of these commands; no torch
predict    one image, whole or in blended tiles
files      many images and videos into a folder (inputs finds them, video does the latter)
classify   images as wholes: the likeliest classes, as CSV and JSON
publish    a trained model in Hugging Face's layout
tiles      where tiles lie and how they blend; memory how large they may be
export     a network as one file for ONNX Runtime, OpenVINO or torch.export
diagram    a network as a picture
benchmark  what the networks cost, beside others
"""
