"""Reports for what stands above the plots; the pages themselves are drawn in `uspnb.plots`."""

from .report_file import Report, checked_target, checked_theme, drawn, page_html, report_html, write_report
from .report_tables import comparison_table, html_pairs, html_table

__all__ = [
    "Report",
    "checked_target",
    "checked_theme",
    "comparison_table",
    "drawn",
    "html_pairs",
    "html_table",
    "page_html",
    "report_html",
    "write_report",
]
