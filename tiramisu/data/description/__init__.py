"""What a data set is, as its YAML file or its folder tells it: a DatasetSpec.

table         DatasetSpec and the kinds of splits, as dataclasses
parse         a YAML file becomes one: parse_masks for segmentation, parse_images for classification
spec_file     what the files of both tasks share; yaml_file YAML whose errors name the line
folder        a bare folder becomes one
"""
