"""Seeded simulation of faults: the same content, or one named error, and nothing that looks whole but is not.

    world.py         the simulated world: at a planned call it fails, tears, lies, is stale, kills or cuts the power
    plain_engine.py  Beam's transforms as plain loops, in any order: a run takes a tenth of a second
    crawl.py         a crawl of six pages, and commands on it in this process
    page_thread.py   a page process that is a thread of this one
    checks.py        what must hold after every run, and for a reader at every moment
    chaos.py         `make chaos`: random seeds, and every call in turn

Real processes are in test_processes.py, real kills in test_stop.py, a real page process in ../page_process.
"""
