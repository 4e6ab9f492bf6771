"""The tool's own splits of data that have none, and the folds of a cross-validation.

split_data      data without a split val -> the same with train and val; folds
groups          which samples stay together: by a pattern, and near-duplicates
stratify        groups -> parts in which every class has its share
split_samples   the samples of a split: their names, labels and fingerprints
split_record    the names in train and val as a file, split.yaml
"""
