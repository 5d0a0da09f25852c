"""Measurements of the models on domains that they never saw.

evaluate            the numbers
report              a Markdown page and plots of them
gate                a new model must not be worse than the pinned floors
"""
