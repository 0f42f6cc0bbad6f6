"""The one table of what a tick gives: what is derived from it is what files, logs and front ends have always had."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

import uspnb
from uspnb.config.schema import PredictorConfig
from uspnb.model import fields
from uspnb.model.fields import FIELDS, FLEET, NEXT, SPARK, Telemetry, logged_fields, shown_fields, variables
from uspnb.model.packing import row_columns
from uspnb.model.programs import result_layout
from uspnb.sinks.records import RECORD_FIELDS

KERNELS = ("hilbert", "deep_galerkin", "ito_levy", "log_signature")
SIZES = {"kernel": 4, "chart": 3, "mode": 5, "season_slot": 2, "covariate": 0, "horizon": 7, "level": 2}


def words(text: str) -> list[str]:
    return text.split()


# The order of a packed row is that of snapshots' and sessions' archives; a name with a dim says so.
ROW = words("""
next_prediction next_lower next_upper next_mode observation accepted z_score prediction lower upper scale residual
kernel_prediction:kernel kernel_scale:kernel rejected imputed not_finite outlier out_of_order stale sparse frozen
released
reference_residual chart_statistic:chart chart_threshold:chart cusum_up cusum_down cusum_drift adaptive_threshold
alarm alarm_chart onset_ago in_grace anomaly_score anomaly
kurtosis holder_exponent holder_valid fractal_dimension whittle_exponent jump
stationary koopman_frequency:mode koopman_power:mode paley_wiener_integral drift quadratic_variation jump_share
weight:kernel target_weight:kernel free_energy free_energy_before transport_cost transport_plan:kernel:kernel
sinkhorn_epsilon sinkhorn_converged sinkhorn_error learning_rate entropy_window volatility clipped:kernel
kernel_failed:kernel dgm_entropy dgm_expected_entropy distance_to_collapse entropy_ratio mode_collapse_warning
pde_residual stiffness stiffness_low stiffness_high solver jump_intensity degraded emergency operating_mode ticks
season:season_slot season_weight covariate_effect:covariate
horizon_prediction:horizon horizon_lower:horizon horizon_upper:horizon
horizon_level_width:horizon:level horizon_weight:horizon:kernel pit:horizon
""")
# The order of a telemetry log: flags, counts, numbers.
RECORD = words("""
accepted rejected imputed not_finite outlier out_of_order stale sparse frozen released alarm in_grace anomaly
holder_valid jump
stationary sinkhorn_converged clipped kernel_failed mode_collapse_warning degraded emergency alarm_chart onset_ago
solver operating_mode ticks z_score chart_statistic chart_threshold cusum_up cusum_down cusum_drift adaptive_threshold
anomaly_score
kurtosis holder_exponent fractal_dimension whittle_exponent paley_wiener_integral drift quadratic_variation
jump_share weight target_weight free_energy free_energy_before transport_cost sinkhorn_epsilon sinkhorn_error
learning_rate entropy_window volatility dgm_entropy dgm_expected_entropy distance_to_collapse entropy_ratio
pde_residual stiffness stiffness_low stiffness_high jump_intensity
""")
FLEET_KEEPS = words("""
observation accepted prediction lower upper kernel_prediction rejected imputed not_finite outlier out_of_order stale
sparse
frozen released chart_statistic chart_threshold alarm alarm_chart onset_ago in_grace anomaly
holder_exponent holder_valid
weight target_weight volatility learning_rate mode_collapse_warning degraded emergency operating_mode ticks
next_prediction next_lower next_upper next_mode
""")
VIEW_SHOWS = words("""
tick time observation prediction lower upper next_prediction next_lower next_upper holder_exponent holder_valid
chart_mean chart_scale chart_dependence chart_threshold_mean chart_threshold_scale chart_threshold_dependence alarm
alarm_chart onset_tick emergency degraded rejected imputed operating_mode season_0 season_1 season_weight reason
""")


def test_a_packed_row_has_the_columns_that_archives_have() -> None:
    """Names, order and widths."""
    layout = result_layout(PredictorConfig())
    columns, at = row_columns(layout), 0
    for entry in ROW:
        name, *dims = entry.split(":")
        width = int(np.prod([SIZES[dim] for dim in dims], dtype=int))
        assert columns[name] == slice(at, at + width), name
        at += width
    assert list(columns) == [entry.partition(":")[0] for entry in ROW] and at == layout.width == 196


def test_a_logged_record_has_the_fields_that_logs_have() -> None:
    assert list(RECORD_FIELDS) == RECORD
    assert set(logged_fields()) == set(RECORD)
    # The signal and what is in its units stay at home, whatever the table says otherwise.
    assert not any(FIELDS[name].units == "y" for name in logged_fields())


def test_the_fleet_and_the_views_have_their_columns() -> None:
    """Of these the order is nobody's format: front ends are told the names."""
    assert set(shown_fields(FLEET)) == set(FLEET_KEEPS)
    assert shown_fields(SPARK) == ("observation", "prediction", "lower", "upper", "alarm")
    columns = fields.view_columns(PredictorConfig())
    shares = ("weight", "target_weight", "kernel_prediction", "kernel_failed")
    per_kernel = [f"{name}_{k}" for name in shares for k in KERNELS]
    ladder = [1, 2, 4, 8, 16, 24, 48]
    fan = [f"horizon_{name}_{h}" for name in ("prediction", "lower", "upper") for h in ladder]
    fan += [f"horizon_level_width_{h}_{level}" for h in ladder for level in (0.5, 0.8)]
    assert set(columns) == {*VIEW_SHOWS, *per_kernel, *fan} and len(columns) == len(set(columns)) == 80
    assert columns[:2] == ("tick", "time")
    plain = PredictorConfig(horizons=(1,), interval_levels=(0.5,), season_slots=0)
    assert len(fields.view_columns(plain)) == 38 + 4 + 1 + 4


def test_the_variables_are_the_fields_but_those_left_out_on_purpose() -> None:
    """`onset_ago` is told as `change_onset`; nobody plots the plan's 16 numbers a tick."""
    declared = variables()
    assert set(FIELDS) - {about.name for about in declared.values()} == {"onset_ago", "transport_plan"}
    assert {n: a.name for n, a in declared.items() if n != a.name} == {
        "cusum_threshold": "adaptive_threshold",
        "kernel_clipped": "clipped",
    }
    for about in (*declared.values(), *NEXT.values()):
        assert about.units and about.long_name, about.name
        assert (about.kind == "flag") == about.long_name.startswith("whether"), about.name


def test_the_annotations_say_what_the_table_says() -> None:
    """A reader sees the annotation, the programs see the table."""
    kinds = {"Scalar": "number", "Float": "number", "Flag": "flag", "Bool": "flag", "Count": "count", "Int": "count"}
    for field in dataclasses.fields(Telemetry):
        match = re.fullmatch(r"""(\w+)(?:\[Array, ['"]([a-z_ ]*)['"]\])?""", str(field.type))
        assert match, field.type
        kind, dims = match.groups(default="")
        about = FIELDS[field.name]
        assert (kinds[kind], tuple(dims.split())) == (about.kind, about.dims), field.name


def test_the_table_needs_no_jax() -> None:
    """The process that writes the logs reads it, and JAX would cost that process seconds and hundreds of megabytes."""
    folder = str(Path(uspnb.__file__).parent / "runtime")
    code = (
        f"import sys; sys.path[:0] = [{folder!r}, {str(Path(folder).parent.parent)!r}]; import child;"
        "child.empty_packages();"
        "import uspnb.sinks.process, uspnb.sinks.json_lines, uspnb.sinks.parity, uspnb.model.fields;"
        "assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
