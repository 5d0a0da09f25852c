"""`gristmill explore`: a web page on this machine over the Parquet files of one finished run, or of two.

server         the application: who may ask, what it answers, how it is served
pages          search over all pages, and one page with its deciding rule and its texts
measurements   histograms of measurements, and what another limit would change
mixture        shares of domains under other targets
groups         languages, sites, domains, personal data and clusters of duplicates
judge          votes of a reader on pages, precision and recall of the filters by them, labels
templates/     Jinja templates, everything escaped
static/        the style beside that of the report, and the script
"""
