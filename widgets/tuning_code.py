"""A campaign as the Python code that would run it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from uspnb.config.meta_schema import META_DEFAULTS, MetaOptimizationConfig
from uspnb.config.schema import PredictorConfig
from uspnb.engine.settings import settings_code
from uspnb.tuning.space import SearchSpace, tier_space


def campaign_code(campaign: Any, status: Any) -> str:
    """Code that makes the campaign, and goes on with it where its storage is.

    `series` and a user's own `objective` are names that the reader has.

    Args:
        campaign: the optimizer.
        status: its `CampaignStatus`.
    """
    meta, metric = campaign.meta_config, campaign.objective.metric
    own = not campaign.objective.fingerprint  # a function: only its name is known
    space = campaign.search_space
    given = {"study_name": repr(campaign.study_name), "tier": repr(campaign.tier)}
    given = ({"objective": "objective"} if own else {"objective": repr(metric), "series": "series"}) | given
    if space != tier_space(campaign.tier, meta):
        given = {"search_space": _space_code(space)} | given
    if meta != MetaOptimizationConfig():
        given["meta_config"] = _meta_code(meta)
    if campaign.base_config != PredictorConfig():
        given["base_config"] = settings_code(campaign.base_config)
    if status.trials and Path(campaign.place) != Path(meta.checkpoint_path) / f"{campaign.study_name}.journal":
        given["storage"] = repr(campaign.place)
    return "\n".join(
        [
            "import uspnb.widgets",
            "",
            "optimizer = uspnb.AsyncMetaOptimizer(",
            *(f"    {name}={value}," for name, value in given.items()),
            ")",
            f"optimizer.start({status.target or ''})",
            "uspnb.widgets.show(optimizer)",
        ]
    )


def _space_code(space: dict[str, SearchSpace]) -> str:
    lines = []
    for name, one in space.items():
        further = {
            field.name: getattr(one, field.name)
            for field in dataclasses.fields(one)
            if field.default is not dataclasses.MISSING and getattr(one, field.name) != field.default
        }
        rest = "".join(f", {key}={value!r}" for key, value in further.items())
        lines.append(f"        {name!r}: uspnb.SearchSpace({name!r}, {one.param_type!r}, {one.range!r}{rest}),")
    return "\n".join(["{", *lines, "    }"])


def _meta_code(meta: MetaOptimizationConfig) -> str:
    values = {name: getattr(meta, name) for name in META_DEFAULTS}
    changed = [f"{name}={value!r}" for name, value in values.items() if value != META_DEFAULTS[name]]
    changed += [f"ranges={dict(meta.ranges)!r}"] if meta.ranges else []
    return f"uspnb.MetaOptimizationConfig({', '.join(changed)})"
