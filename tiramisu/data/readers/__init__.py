"""Readers: they decode the samples of a split from files, or draw them.

reader        images with masks (found by file_split), and drawn scenes
class_reader  images with a class (found by class_folder, or in cifar_archive), and drawn objects
"""
