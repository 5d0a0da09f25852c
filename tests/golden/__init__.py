"""Golden outputs of each version of the format (FORMAT.md), which later code must read; never written again."""
