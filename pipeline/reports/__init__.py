"""The reports of a finished run: report.json, report.html and the terminal summary.

report_json         the numbers: report.json
run_warnings        what a user should look at before using the dataset
trends              a snapshot beside those before it: series, and alarms for steps beyond the usual
advice              what to set where pages were dropped
html_report         report.html, from report.json and samples of the rows (modules: charts, samples)
console_summary     the funnel at the end of `gristmill curate`
formatting          numbers, names and links, formatted alike in all reports
"""
