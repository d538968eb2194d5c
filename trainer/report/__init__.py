"""The report of runs: report.html, tables and figures."""
