"""What is wrong with the files of a data set.

check     check_dataset: every problem of every split in one message
scan      reads all images and labels; findings holds what it found
"""
