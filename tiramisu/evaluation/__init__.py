"""How good a trained network is.

evaluate     scores of a model over a whole split; `tiramisu eval`
metrics      scores from one confusion matrix
calibration  how far predicted probabilities can be trusted
batch_norm   the statistics of batch norm: recalibrated, or of each batch
report       scores as a table, as JSON and as pictures
fold_scores  the scores of the folds of a cross-validation
plots        curves of a run, confusion matrix, reliability
samples      pictures of a few predictions; uncertainty_grid shows where they are uncertain
config       the settings of `tiramisu eval`
"""
