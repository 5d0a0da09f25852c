"""Text from a model: sampling and generation (generate.py)."""
