"""Descriptions of data sets: from a YAML file or a folder to a DatasetSpec.

parse      reads and checks a YAML file; yaml_file finds the line of each value in it
entry      what the mappings and values of a YAML file share, as pydantic models and types
folder     describes a folder without a YAML file
"""
