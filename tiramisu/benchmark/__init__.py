"""Time, speed and peak memory of networks, side by side in one run.

benchmark                  the command: which comparisons, what is printed and written
contenders, steps          what is compared on which case, and one step of it
comparison, peak_memory    measure all contenders on one case
comparison_report          comparisons as tables, JSON and pictures
loading_speed              `--study data`: whether loading images keeps up with training
"""
