"""A trained network as files.

info          ModelInfo: what the numbers of a network mean, and its JSON
model         SegmentationModel and ClassificationModel: a network together with its ModelInfo
weights_file  the weights as safetensors
checkpoint    load_model and save_model: folders, files, shipped names, names on the Hub
run_folder    the files in the folder of a training run
trained_on    the data set that a model was trained on
hub           models on Hugging Face's Hub; hub_model gives a model save_pretrained and the like
publish       `tiramisu publish`
card          the model card; evaluations reads the scores that it shows
config        the settings of `tiramisu publish`
"""
