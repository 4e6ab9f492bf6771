"""How a network learns.

config      the settings of a run
train       a run from its settings to its published model
checks      what a run refuses before it starts; run the folder of a run
task        the LightningModule; trainer the Trainer around it; callbacks what a run shows and keeps
optim       optimisers and learning rates; losses the losses
loading     the data of a run for each process
warm_start  the weights that a run starts from
"""
