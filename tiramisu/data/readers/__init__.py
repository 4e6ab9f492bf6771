"""Readers: they decode the samples of a split from files, or draw them.

open_reader   the reader of any split
reader        images with masks (found by file_split; sample_list reads the list of a split), and
              drawn scenes
class_reader  images with a class (found by class_folder, or in cifar_archive), and drawn objects
image_file    opens and decodes any image file with care; mask_file decodes masks
"""
