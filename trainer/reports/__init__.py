"""report.html of a training run.

run_report  writes it
advice      what the numbers say, and what to set
charts      its curves
"""
