"""The parts of phase 2 (deduplicate): plain functions over numpy records; `pipeline/deduplicate.py` wires them in Beam."""
