"""What an image and its labels are. Knows no network.

spec        load_spec: a shipped name, a YAML file or a bare folder becomes a DatasetSpec
dataset     open_dataset and make_loader: decoded images and labels, batched
transforms  train_transform: random scale, crop, flip and colour
streets     draw_scene and draw_object: the embedded data sets, drawn from seeds
check       check_dataset: every problem of a data set's files in one message
download    download_dataset: fetched, verified, and only then put in place

Import from the modules: this file imports nothing, so that reading a spec loads no torch.
"""
