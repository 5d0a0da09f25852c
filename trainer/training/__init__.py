"""The training loop for any task, on one process or many.

task                the interface that a task implements, the only one that the loop uses
training_settings   settings of a run, without those of its task
run                 a run in memory: open, resume, describe, save it
loop step           all steps of a run; the gradient of one step
optimizer muon      AdamW, and Muon for matrices beside it
schedule anomalies  learning rate of a step; loss spikes and NaN
checkpoint checkpoint_writer    all that a run needs to resume bitwise: read, and written gathered or in shards
saved_model         the model of a checkpoint
mesh                how ranks divide copies, shards, matrices and experts
distributed parallelize         ranks and sums over them; a model on the ranks of a mesh
command_line        the command as reports show it
hardware metrics    speed and precision of this machine; metrics.jsonl
"""
