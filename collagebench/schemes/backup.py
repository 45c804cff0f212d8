"""Approximate backup: a smaller, faster and less accurate model gets every query and answers those that are late.

The backup model takes a group of up to `backup_batch` images as one batch: one by one (1), as in the baseline that the
parity models are compared with (Kosaian, Rashmi and Venkataraman, "Parity Models", SOSP 2019), or as many as a collage
would hold (9, the default), which makes it a rival of a 3 x 3 collage on the same worker. Its answer is used from
`backup_after` seconds after the request's arrival on (what `backed_up` calls `hold`); at 0 the first answer wins.
"""

from __future__ import annotations

from collagebench.schemes.backed_up import BackedUp, parse_hold
from collagebench.schemes.checks import check_count
from collagebench.schemes.groups import Flush

BATCH_AT_MOST = 256
"""As many as the largest collage holds; a batch is one message, and is timed as a whole before a run."""


class Backup(BackedUp):
    """Singles backed up by batches of `backup_batch` on `backup_workers` workers; delays in seconds."""

    role = "backup"

    def __init__(
        self,
        backup_batch: int = 9,
        backup_after: str | float | None = None,
        flush: Flush = "auto",
        flush_after: float | None = None,
        backup_workers: int = 1,
        reissue_after: str | float | None = None,
        reject: float | None = None,
    ) -> None:
        check_count(1, BATCH_AT_MOST, backup_batch=backup_batch)
        check_count(1, backup_workers=backup_workers)
        hold = parse_hold("backup_after", backup_after, flush)
        super().__init__(backup_batch, flush, flush_after, hold, reissue_after, twice=True, reject=reject)
        self.backup_batch = backup_batch
        self.backup_workers = backup_workers

    def allot(self, workers: int) -> dict[str, int]:
        """Give `backup_workers` of them to the backup model."""
        return self._allot(workers, self.backup_workers)

    def batch(self, role: str) -> int:
        """A backup task carries up to `backup_batch` images."""
        return self.backup_batch if role == "backup" else 1
