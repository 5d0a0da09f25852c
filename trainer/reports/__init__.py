"""What a run leaves beside its weights: report.html, how it was made, how it ended.

run_report  writes it
advice      what the numbers say, and what to set
charts      its curves
run_record  experiment.json and outcome.json
verdict     one line on what a run achieved
"""
