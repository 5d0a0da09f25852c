"""Questions that take several runs, or none.

ladder              one run at several model sizes
dial                the rules of one dial, fitted and tested on another depth
scaling_laws        loss against parameters, data and compute, fitted to runs
ablation            which dataset makes the better model
assistants assistants_report   stages of post-training, asked the same
task_scaling        what more tasks are worth to a fine-tuned model
seed_interval       the mean over seeds with its interval
mixture_search      the shares of domains that make the better model
experiments         runs found in folders, filtered and compared
cost mesh_cost      FLOP, device hours, money and carbon of a run before it is made; memory and bytes sent on a mesh
"""
