"""Check the files of a data set.

check     check_dataset: every problem of every split in one message, or a report
scan      reads the images and labels of a sample; sample_facts, mask_regions and mask_shift measure
          them, and split_counts adds up
findings  the report; image_findings and label_findings find what is conspicuous
"""
