"""The report of a run for the command line; the page itself is drawn in `uspnb.plots`."""

from .plots.report_file import checked_target, report_html, write_report
from .plots.report_tables import comparison_table

__all__ = ["checked_target", "comparison_table", "report_html", "write_report"]
