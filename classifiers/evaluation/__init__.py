"""Measurements of the models on unseen domains, their report, and the gate that a new model must pass."""
