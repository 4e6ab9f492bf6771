"""Readers: they decode the samples of a split from files, or draw them.

open_reader   the reader of any split
reader        images with masks (found by file_split; sample_list reads the list of a split), and
              drawn scenes
class_reader  images with a class (found by class_folder, or in cifar_archive), and drawn objects
image_file    reads any image file with care: TIFF by tiff_file, .npy by array_file, all others by
              picture_file; raster is what they give, size_limit the most that they read
mask_file     from an image file to class indices
pixel_samples the samples of a split, with masks or with annotations; parts a part of them
"""
