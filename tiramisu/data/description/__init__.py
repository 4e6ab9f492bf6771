"""Descriptions of data sets: from a YAML file or a folder to a DatasetSpec.

parse      reads and checks a YAML file; yaml_file finds the line of each value in it
folder     describes a folder without a YAML file: layouts finds its splits, name_patterns pairs
           images and masks by their names, mask_classes names the classes by the values that
           mask_values finds in the masks
"""
