"""Questions that take several runs, or none.

ladder              one recipe at several sizes
scaling_laws        loss against parameters, data and compute, fitted to runs
ablation            which of two datasets makes the better model
cost                FLOP, device hours, money and carbon of a run before it is made
"""
