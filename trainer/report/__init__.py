"""Runs to report.html, with its tables and figures."""
