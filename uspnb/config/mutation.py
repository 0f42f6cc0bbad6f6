"""What a change of the configuration returns, and the history of a file: values for people and notebooks."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from ..errors import ConfigMutationError
from ..runtime.html_tables import columns_table
from .audit import AuditRecord

Changes = dict[str, tuple[Any, Any]]


@dataclasses.dataclass(frozen=True)
class Mutation:
    """What a change of the configuration did.

    Attributes:
        changed: whether the file is another than before.
        path: the file, links resolved.
        old_hash, new_hash: SHA-256 of its content before and after.
        backup: the copy from before, None where none was made.
        outcome: "accepted", "rolled_back" or "unchanged".
        record: its line in the audit log.
        audit: where that log is.
    """

    changed: bool
    path: Path
    old_hash: str
    new_hash: str
    backup: Path | None
    outcome: str
    record: AuditRecord
    audit: Path

    @property
    def changes(self) -> Changes:
        """(old, new) by field."""
        return self.record.changes

    def undo(self, *, trigger: str = "undo", now_ns: int | None = None) -> Mutation:
        """Bring the file back to what it was before this change.

        Raises:
            ConfigMutationError: the file was changed since, or there is no backup.
        """
        from .rollback import rollback  # here, because it makes values of this class

        if not self.changed:
            raise ConfigMutationError(f"{self.path}: nothing was changed, so that there is nothing to take back")
        return rollback(
            self.path, self.old_hash, trigger=trigger, expected_hash=self.new_hash, audit=self.audit, now_ns=now_ns
        )

    def text(self) -> str:
        """The same as a sentence."""
        told = self.record.told_changes() or "nothing changed"
        kept = f"; before: {self.backup.name}" if self.backup is not None else ""
        noticed = f" ({self.record.reason})" if self.record.reason else ""
        return f"{self.path}: {self.outcome.replace('_', ' ')}: {told}{kept}{noticed}"

    def _repr_html_(self) -> str:
        rows = [(name, repr(old), repr(new)) for name, (old, new) in self.changes.items()]
        return columns_table(self.text(), ("setting", "before", "after"), rows)


class History(list[AuditRecord]):
    """The records of a file, the oldest first; a table in a notebook."""

    def text(self) -> str:
        """One line for each record."""
        return "\n".join(record.text() for record in self)

    def _repr_html_(self) -> str:
        rows = [(r.time[:19] + "Z", r.trigger, r.outcome, r.told_changes(), r.reason) for r in self]
        return columns_table("History", ("when", "trigger", "outcome", "changes", "reason"), rows)
