"""How a network learns and is judged.

config      the settings of training and evaluation, as frozen dataclasses; no torch
task        the LightningModule: forward, loss, step, optimiser on one screen
train       a run from its settings to its published model; trainer what Lightning does of it
evaluate    a trained model on a whole split, in three batch norm modes
model       SegmentationModel and ClassificationModel; predictor what stands for one
checkpoint  how a model is saved and loaded; hub the same on Hugging Face's, card its description
metrics     scores from one confusion matrix; losses, optim what they say
loading     the data of a run for each process; run its folder; callbacks what it shows
warm_start  the weights that a run starts from
report      tables and JSON; pictures, samples and plots the rest of what people look at

Import from the modules: this file imports nothing, so that reading a config loads no torch.
"""
