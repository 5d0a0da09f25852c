"""report.html of a training run: run_report writes it, charts draws its curves."""
