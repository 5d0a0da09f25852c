"""Run the page stages in a child process, so that a page that crashes or never ends costs that page only.

chain               the stages in a row, as one function of a page
killable_process    the child process, with limits on CPU time, wall time and memory that the kernel keeps
settings            those limits: the table [page_process]
"""
