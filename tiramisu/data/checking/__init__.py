"""Check the files of a data set.

check     check_dataset: every problem of every split in one message
scan      reads the images and labels; findings has the report of what it found
"""
