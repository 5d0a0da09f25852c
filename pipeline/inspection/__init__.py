"""Commands about a run: `gristmill plan` before it, `status` during it, `explain` and `audit` after it.

plan dataflow_plan                              cost and yield, estimated from a sample of pages
progress finished_units status metrics_file     how far a run is, and if it is alive
stored_run                                      settings and input of a finished run
explain replay limits find_pages explain_text   replay of one page through the stages of its run
database sample compare                         the rows of finished runs by SQL
audit check check_files check_ledger check_content check_copies check_duplicates check_removal
                                                checks of a finished output
"""
