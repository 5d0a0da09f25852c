"""The training loop for any task, on one process or many.

task                the interface that a task implements, the only one that the loop uses
training_settings   settings of a run, without those of its task
run                 a run in memory: open, resume, describe, save it
loop step           all steps of a run; the gradient of one step
optimizer muon      AdamW, and Muon for matrices beside it
schedule anomalies  learning rate of a step; loss spikes and NaN
checkpoint saved_model          all that a run needs to resume bitwise; the model of a checkpoint
distributed hardware metrics    ranks; speed and precision of this machine; metrics.jsonl
"""
