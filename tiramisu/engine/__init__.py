"""How a network learns and is judged.

config      the settings of training and evaluation, as frozen dataclasses; no torch
task        the LightningModule: forward, loss, step, optimiser on one screen
train       a run from its settings to its published model
evaluate    a trained model on a whole split, in three batch norm modes
checkpoint  SegmentationModel, and how it is saved and loaded; predictor what stands for one
metrics     scores from one confusion matrix; losses, optim what they say
loading     the data of a run for each process; run its folder; callbacks what it shows
report      tables and JSON; pictures and plots the rest of what people look at

Import from the modules: this file imports nothing, so that reading a config loads no torch.
"""
