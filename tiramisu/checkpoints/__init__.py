"""A trained network as files.

info          ModelInfo: what the weights of a network mean, and its JSON files
weights_file  the weights as safetensors
model_files   finding and reading a model's file: folders, shipped names, names on the Hub
model         SegmentationModel and ClassificationModel: a network together with its ModelInfo
checkpoint    load_model and save_model
run_folder    the files in the folder of a training run
trained_on    the data set that a model was trained on
hub           downloads from Hugging Face's Hub; hub_model adds save_pretrained and the like
publish       `tiramisu publish`
card          the model card; evaluations reads its scores, card_template.md holds its words
config        the settings of `tiramisu publish`
"""
