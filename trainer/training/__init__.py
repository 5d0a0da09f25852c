"""The training loop for any task, on one process or many.

task                the interface that a task implements; the loop knows tasks by it only
loop step           steps until the end; the gradient of one step
run training_settings   a run in memory: built, resumed, described, saved; its settings
optimizer schedule anomalies    AdamW; learning rate; loss spikes and NaN
checkpoint saved_model          all that a run needs to resume bitwise; the model of a checkpoint
distributed hardware metrics    ranks; speed and precision of this machine; metrics.jsonl
"""
