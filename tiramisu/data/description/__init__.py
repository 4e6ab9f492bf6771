"""What a data set is, as its YAML file or its folder tells it.

parse         a YAML file becomes a DatasetSpec, by parse_masks for segmentation and parse_images
              for classification
spec_file     what the files of both tasks share; yaml_file YAML whose errors name the line
folder        a bare folder becomes one
"""
