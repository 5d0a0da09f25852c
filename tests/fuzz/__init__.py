"""Readers of untrusted bytes under coverage-guided fuzzing.

targets.py      one function of bytes for each reader, and its first inputs
__main__.py     `make fuzz MINUTES=5`: every target under atheris, its minutes shared among them
one.py          one target in a process of its own
cases/TARGET/   inputs that once broke a reader; test_targets.py runs them in every test run
"""
