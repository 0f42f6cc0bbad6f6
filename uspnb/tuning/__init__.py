"""Resumable tuning campaigns: search spaces, a walk-forward objective, studies, results, reports."""
