"""How jobs run: on this machine, on Spark, Flink or Dataflow; by Beam, or without it for small inputs.

options             the engine options of `gristmill curate`, and which engines are accepted
launch              start an engine; environments, job_server, dataflow, beam_options, sdk_worker are parts of it
beam_pipeline       build and run one pipeline
map_items           apply a plain function to every item of a list of work; concurrent_calls does it here
parallel_map        the same as a Beam transform
resumable           the same for items whose results are stored: only missing ones are computed
failures            the message and exit code behind an engine's exception
"""
