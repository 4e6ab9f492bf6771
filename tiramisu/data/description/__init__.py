"""Descriptions of data sets: from a YAML file or a folder to a DatasetSpec.

parse        reads a YAML file
yaml_models  what the file may say; yaml_file finds the line of each value
folder       describes a folder without a YAML file
"""
