"""Studies over several runs: a ladder of sizes, scaling laws, the cost of a run, and ablations of datasets."""
