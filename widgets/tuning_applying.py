"""What a reader takes along from a campaign: its best in a configuration file or as a download, and its code."""

from __future__ import annotations

import dataclasses
import itertools
import re
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from uspnb.config.load import config_to_toml, parse_config
from uspnb.config.meta_schema import META_DEFAULTS, MetaOptimizationConfig
from uspnb.config.mutation import Mutation
from uspnb.config.schema import PredictorConfig
from uspnb.engine.settings import settings_code
from uspnb.errors import DomainError, UspnbError
from uspnb.tuning.space import SearchSpace, tier_space

CONFIG = "config.toml"
# What was applied of each campaign, the newest last: a page that is loaded again can still take it back.
_written: weakref.WeakKeyDictionary[Any, list[Mutation]] = weakref.WeakKeyDictionary()


@dataclasses.dataclass(frozen=True)
class Place:
    """Where it may be written.

    Attributes:
        writes: "file" where the reader names the file, "fixed" where it is `path` and no other, "download" where
            nothing is written and the reader gets the text.
        path: the file; for "file" what is offered at first.
    """

    writes: str = "file"
    path: str | Path = CONFIG

    def __post_init__(self) -> None:
        if self.writes not in ("file", "fixed", "download"):
            raise DomainError(f"writes = {self.writes!r} is not one of 'file', 'fixed', 'download'")

    @property
    def shown(self) -> str:
        """The path as the front end shows it: of a file that it did not choose, the name alone."""
        return str(self.path) if self.writes == "file" else Path(self.path).name

    def file(self, path: Any) -> Path:
        """The file to write.

        Raises:
            DomainError: none may be written, or none was named.
        """
        if self.writes == "download":
            raise DomainError("nothing may be written here; download the configuration instead")
        if self.writes == "fixed":
            return Path(self.path)
        if not isinstance(path, str) or not path.strip():
            raise DomainError("no configuration file was named; type its path, config.toml for example")
        return Path(path.strip()).expanduser()


class Applying:
    """Apply, undo and download, each answered by a sentence.

    Args:
        campaign: the optimizer.
        place: where it may be written.
        post: sets a trait of the widget by name.
    """

    def __init__(self, campaign: Any, place: Place, post: Callable[[str, Any], None]) -> None:
        self._campaign, self._place, self._post = campaign, place, post
        self._ids = itertools.count(1)
        self._written = _written.setdefault(campaign, [])

    @property
    def undoable(self) -> bool:
        """Whether something was written that can be taken back."""
        return bool(self._written)

    def act(self, name: str, request: dict[str, Any]) -> None:
        """Do "apply", "undo" or "toml" and reply."""
        acts = {"apply": self._apply, "undo": self._undo, "toml": self._toml}
        try:
            if name not in acts:
                raise DomainError(f"there is no act {name!r}; a monitor knows {', '.join(acts)}")
            kind, text = "done", acts[name](request)
        except (UspnbError, OSError) as error:
            kind, text = "refused", self._private(str(error))
        self._post("reply", {"id": next(self._ids), "act": name, "kind": kind, "text": text})

    def _apply(self, request: dict[str, Any]) -> str:
        path = self._place.file(request.get("path"))
        which: Any = request.get("which", "recommended")
        mutation = self._campaign.result().export_to_toml(path, override_limit=bool(request.get("beyond")), which=which)
        if mutation.changed:
            self._written.append(mutation)
        return self._private(mutation.text().replace(str(mutation.path), str(path)))

    def _undo(self, request: dict[str, Any]) -> str:
        if not self._written:
            raise DomainError("nothing was applied here that could be taken back")
        undone = self._written[-1].undo(trigger="undo in the tuning monitor")
        self._written.pop()
        return self._private(undone.text())

    def _toml(self, request: dict[str, Any]) -> str:
        result, ds = self._campaign.result(), self._campaign.results
        base = parse_config(str(ds.attrs["config"]), source="the base of the campaign")
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", result.study_name).strip("-.")[:60] or "tuned"
        text = config_to_toml(result.to_config(base, request.get("which", "recommended")))
        self._post("download", {"id": next(self._ids), "name": f"{stem}.toml", "text": text})
        return f"{stem}.toml holds the whole configuration; use it with --config {stem}.toml."

    def _private(self, text: str) -> str:
        """A sentence without the folders of a server, which are none of its visitors' business."""
        if self._place.writes == "file":
            return text
        folders = {str(Path(self._place.path).parent), str(Path(self._place.path).resolve().parent)} - {"."}
        for folder in sorted(folders, key=len, reverse=True):
            text = text.replace(f"{folder}/", "")
        return text


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
    arguments = {"study_name": repr(campaign.study_name), "tier": repr(campaign.tier)}
    arguments = ({"objective": "objective"} if own else {"objective": repr(metric), "series": "series"}) | arguments
    if space != tier_space(campaign.tier, meta):
        arguments = {"search_space": _space_code(space)} | arguments
    if meta != MetaOptimizationConfig():
        arguments["meta_config"] = _meta_code(meta)
    if campaign.base_config != PredictorConfig():
        arguments["base_config"] = settings_code(campaign.base_config)
    if status.trials and Path(campaign.place) != Path(meta.checkpoint_path) / f"{campaign.study_name}.journal":
        arguments["storage"] = repr(campaign.place)
    return "\n".join(
        [
            "import uspnb.widgets",
            "",
            "optimizer = uspnb.AsyncMetaOptimizer(",
            *(f"    {name}={value}," for name, value in arguments.items()),
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
