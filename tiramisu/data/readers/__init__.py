"""The samples of a split, decoded from their files or drawn.

reader        images with masks, and drawn scenes: file_split finds them
class_reader  images with a class: class_folder finds them, cifar fetches CIFAR's
"""
