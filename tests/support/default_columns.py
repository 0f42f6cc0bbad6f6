"""Columns of the views of the default configuration."""

from __future__ import annotations

from uspnb.config.schema import PredictorConfig
from uspnb.engine.fleet.tables import summary_columns
from uspnb.model.fields import view_columns
from uspnb.model.kernels.registry import KERNEL_NAMES

VIEW_COLUMNS = view_columns(PredictorConfig())
SUMMARY_COLUMNS = summary_columns(KERNEL_NAMES)
