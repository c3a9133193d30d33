"""The report page: one HTML file with a zoo's models and the curves of runs, which needs no other file."""

from kdvideo.report.page import render_report, write_report

__all__ = ["render_report", "write_report"]
