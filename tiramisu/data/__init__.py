"""Data sets: their descriptions, files, samples and batches. No network in this room.

catalog     load_spec: a shipped name, a YAML file or a bare folder becomes a DatasetSpec
spec        DatasetSpec, what a data set is; task_specs what it is for each task; spec_parts its
            classes and splits, entry what these share, labels decodes the values of its masks
class_colors the colors of classes in pictures; background which class is none
splitting   splits of data that have none, and folds; near_duplicates images of the same scene
image_format which bands the network sees, of which type; scaling what becomes 0 and 1;
            resizing images and labels in another size
description from a YAML file or a folder to a DatasetSpec; readers from files to samples
dataset     ImageDataset: images and labels as the network sees them; sample has the types
loader      make_loader: batches
transforms  TrainTransform: random turns, scale, crop, flip and color; sampling which samples an
            epoch shows; own_transform an augmentation of one's own
annotations what labelling tools write, drawn as masks; converting writes a data set as a folder
checking    check_dataset: every problem of a data set's files in one message
downloading download_dataset: fetches and verifies the files
plain_file  text files, and what is no file; json_file JSON within limits;
            mistakes the words for wrong values in descriptions
config      the settings of `tiramisu check`, `convert` and `download`, and what `train` shares

Import from the modules: this file imports nothing, so that reading a spec loads no torch.
"""
