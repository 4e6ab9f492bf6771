"""What the networks cost, beside others that do the same work, in one run.

run         the command: which comparisons, what is printed and written
compare     one comparison: all contenders at one case, in turns; or one thing growing
cases       Case: network, mode, size and precision at which contenders meet
contenders  Contender: whose network, run in which way; which can meet at which case
networks    the networks themselves, all with the same weights
steps       one step of a contender: a forward pass, or a training step
loading     whether the data path keeps up with training
timing      turns and clocks
footprint   peak memory, measured in a process of its own
machine     what this machine is, and how many operations a second it reaches at best
report      tables and JSON; chart draws the pictures
"""
