"""Training a network.

config        the settings of a run
train         a run from its settings to its published model: plan, fit, publish
folds         a training for each fold of the data: cross-validation
training_run  what `train` returns
checks        what is checked before a run starts or goes on
run_settings  the folder of a run, and the settings saved in it
task          the LightningModule; trainer: the Trainer around it; callbacks: what it does beside
history       the figures of every epoch, metrics.csv; monitor: the one that chooses an epoch
optim         optimisers and learning-rate schedules; losses: the losses
loading       the data of a run
warm_start    the weights that a run starts from
"""
