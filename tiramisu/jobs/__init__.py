"""The same work on many processes and machines, from and to object storage; it can be stopped.

predict_job     `tiramisu predict` with --workers, --scheduler or URLs, and `predict_many`
evaluate_job    `tiramisu eval` with --workers or --scheduler
sources         the files of a job, and the names of their results
stored_input    one file from storage, predicted, and its results in storage
journal         what a job has done: its settings, shares.csv and failed.csv
cluster         Dask's workers: started here or joined, and the tasks for them
packed_model    a model's files on their way to the workers
mask_predictor  masks inside the pipelines of others
storage         folders and object storage by one interface
"""
