"""A recipe for data that have none: the settings of a training, with a reason for each.

facts       what the data are like: sizes, classes, objects
speed       what a training step and a prediction cost on this machine
rules       the settings that follow from both
recipe      plan_training: all of it, as a table and as settings
"""
