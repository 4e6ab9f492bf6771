"""What an image and its labels are. Knows no network.

spec        load_spec: a shipped name, a YAML file or a bare folder becomes a DatasetSpec
table       DatasetSpec, what a data set is; labels what the values of its masks mean
description from a YAML file or a folder to a DatasetSpec; readers from files to samples
dataset     open_dataset: images and labels as a network is shown them; sample one of them
loader      make_loader: batches
transforms  train_transform: random scale, crop, flip and colour
streets     draw_scene and draw_object: the embedded data sets, drawn from seeds
check       check_dataset (scan, report): every problem of a data set's files in one message
download    download_dataset: fetched, verified, and only then put in place

Import from the modules: this file imports nothing, so that reading a spec loads no torch.
"""
