"""Downloads of data sets.

download      a whole data set, file by file, verified by its list of checksums
fetch         many files at the same time, each checked against its digest
careful_http  answers of servers that may be slow, broken or hostile
"""
