"""How Beam runs: on this machine, on Spark, Flink or Dataflow.

options             the engine options of `gristmill curate`, and which engines are accepted
launch              start an engine; environments, job_server, dataflow, beam_options, sdk_worker are parts of it
beam_pipeline       build and run one pipeline
parallel_map        apply a plain function to every item of a list of work
resumable           the same for items whose results are stored: only missing ones are computed
failures            the message and exit code behind an engine's exception
"""
