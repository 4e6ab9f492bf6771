"""How good a trained network is.

evaluate             the scores of a model on a data set
evaluate_checkpoint  `tiramisu eval`: the same for the model of a run, with all files
tally, meter         what is counted over images, in one process or several
scores               the scores that follow from it
error_analysis       boundary IoU, and where the errors lie
calibration          how far predicted probabilities can be trusted
batch_norm           the statistics of batch norm: recalibrated, or of each batch
own_metrics          metrics of one's own, by torchmetrics
score_files          scores as a table, as JSON, as CSV and as figures
score_page, gallery  report.html, and the images on it
fold_scores          the scores of the folds of a cross-validation
plots                curves of a run, confusion matrix, reliability
samples              pictures of a few predictions; uncertainty_grid shows where they are uncertain
config               the settings of `tiramisu eval`
"""
