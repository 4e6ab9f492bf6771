"""A trained network at work.

predictor    what prediction asks of a model, be it PyTorch's or an exported one
load         load_predictor: any trained model by one name; exported the runtimes
ensemble     several models as one: the mean of their probabilities
predict      the classes of every pixel of one image, whole or in tiles
tester       the same for batches of a data set: validation, evaluation, pictures of samples
averaging    test-time augmentation and Monte Carlo dropout; uncertainty what the latter tells
files        many images, maps and videos into a folder: inputs finds them
video        videos, frame by frame: video_file reads them
maps         georeferenced and very large TIFF files in bounded memory: windows reads them piece by
             piece, map_file by rasterio (`pip install "tiramisu-seg[geo]"`)
regions      the regions of a mask as exact polygons; polygon_files writes GeoJSON and COCO
classify     the likeliest classes of whole images
packages     what only some need: `pip install "tiramisu-seg[export]"`
config       the settings of `tiramisu predict` and `tiramisu predict_cls`
"""
