"""The parts of phase 2: plain functions over numpy records. `pipeline/deduplicate.py` wires them in Beam."""
