"""What a finished run shows.

report_json         the numbers: report.json
run_warnings        what must be looked at before the dataset is used
html_report         report.html, from report.json and samples of the rows; charts draws it, samples chooses the rows
console_summary     the funnel at the end of `gristmill curate`
formatting          numbers, names and links, the same in all of them
"""
