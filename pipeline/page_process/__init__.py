"""Run the page stages in a child process, so that a page on which they crash or never end is the only one lost.

chain               the stages in a row, as one function of a page
killable_process    the child process, with limits on CPU time, wall time and memory enforced by the kernel
settings            those limits: the table [page_process]
"""
