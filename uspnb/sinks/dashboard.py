"""The Grafana dashboard, made from the list of metrics: `python -m uspnb.sinks.dashboard > FILE`."""

from __future__ import annotations

import json
import sys
from typing import Any

from .metric_list import MetricSpec, metric_specs

COLUMNS, HEIGHT = 3, 8
WIDTH = 24 // COLUMNS
_SOURCE = {"type": "prometheus", "uid": "${source}"}


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it: a row of panels for each group of metrics.

    It asks for its Prometheus data source, and shows the series that are chosen at its top.

    Returns:
        What `json.dumps` writes; Grafana's schema version 39 (Grafana 10.2 and later read it).
    """
    panels: list[dict[str, Any]] = []
    line, specs = 0, metric_specs()
    for group in dict.fromkeys(spec.group for spec in specs):
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": group,
                "collapsed": False,
                "gridPos": {"h": 1, "w": 24, "x": 0, "y": line},
                "panels": [],
            }
        )
        line += 1
        members = [spec for spec in specs if spec.group == group]
        for i, spec in enumerate(members):
            panels.append(_panel(spec, len(panels) + 1, (i % COLUMNS) * WIDTH, line + HEIGHT * (i // COLUMNS)))
        line += HEIGHT * -(-len(members) // COLUMNS)
    return {
        "uid": "uspnb-predictor",
        "title": "uspnb: predictor",
        "description": "Forecasts, alarms, latency, telemetry, snapshots and shutdowns of uspnb services.",
        "tags": ["uspnb"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "utc",
        "templating": {"list": [_source_variable(), _asset_variable()]},
        "annotations": {"list": []},
        "panels": panels,
    }


def _panel(spec: MetricSpec, number: int, x: int, y: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": "timeseries",
        "title": spec.name.removeprefix("predictor_").replace("_", " "),
        "description": spec.meaning,
        "datasource": _SOURCE,
        "gridPos": {"h": HEIGHT, "w": WIDTH, "x": x, "y": y},
        "fieldConfig": {"defaults": {"unit": spec.unit, "custom": {"fillOpacity": 8}}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + i), "datasource": _SOURCE, "expr": expression, "legendFormat": legend}
            for i, (expression, legend) in enumerate(_queries(spec))
        ],
    }


def _queries(spec: MetricSpec) -> list[tuple[str, str]]:
    """PromQL and legend of each line of a metric."""
    chosen = '{asset=~"$asset"}' if "asset" in spec.labels else ""
    legend = " ".join(f"{{{{{label}}}}}" for label in spec.labels) or spec.name.removeprefix("predictor_")
    if spec.kind == "counter":
        return [(f"rate({spec.name}_total{chosen}[$__rate_interval])", legend)]
    if spec.kind == "histogram":
        labels = ", ".join(("le", *spec.labels))
        buckets = f"sum by ({labels}) (rate({spec.name}_bucket{chosen}[$__rate_interval]))"
        return [
            (f"histogram_quantile({share}, {buckets})", f"p{share[2:]} {legend}") for share in ("0.50", "0.95", "0.99")
        ]
    return [(f"{spec.name}{chosen}", legend)]


def _source_variable() -> dict[str, Any]:
    return {"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus", "hide": 0}


def _asset_variable() -> dict[str, Any]:
    query = "label_values(predictor_ticks_total, asset)"
    return {
        "name": "asset",
        "label": "Series",
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": "series"},
        "definition": query,
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "sort": 1,
        "hide": 0,
    }


def main() -> None:
    """Write the dashboard to standard output."""
    json.dump(dashboard(), sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
