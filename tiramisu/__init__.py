"""FC-DenseNets and DenseNets for PyTorch: train, evaluate and predict per pixel.

from tiramisu import build_model, load_model, predict

network = build_model("fc103", num_classes=11)      # logits (B, 11, H, W)
model = load_model("runs/camvid_fc103")             # a trained one
mask = predict(model, "street.jpg").mask            # uint8 (H, W)
"""

import lazy_loader

# The names stand in __init__.pyi. Each is imported when it is first used, so that `tiramisu --help`
# and a wrong flag are answered without loading torch.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
