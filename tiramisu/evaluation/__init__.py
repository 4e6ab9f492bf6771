"""How good a trained network is.

evaluate     scores of a model on a whole split
metrics      scores from one confusion matrix; calibration the error of its probabilities
batch_norm   the statistics that batch norm uses: running, recalibrated, or of each batch
report       scores as a table, as JSON and as pictures
plots        curves, confusion matrix, reliability; samples and uncertainty_grid show images
config       the settings of `tiramisu eval`
"""
