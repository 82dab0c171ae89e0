"""What people look at after an evaluation: one page with tables, pictures and sound."""

from trainers.evaluation.report.page import Report, write_report

__all__ = ["Report", "write_report"]
