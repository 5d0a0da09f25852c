"""Heuristic filters, a module a family: its settings, its measurements, its rules with their sources."""
