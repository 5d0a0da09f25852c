"""report.html of a run: the page (run_report) and its SVG charts (charts)."""
