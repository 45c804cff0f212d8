"""Approximate backup: a smaller, faster and less accurate model gets every request and answers those that are late.

The backup model takes a group of up to `backup_batch` images as one batch. With 1, requests are sent singly, as in the
baseline of Kosaian, Rashmi and Venkataraman, "Parity Models", SOSP 2019. The default is 9, as many as a 3 x 3 collage
holds, so that the two are comparable on the same worker. The model's answer is used no earlier than `backup_after`
seconds after the request's arrival (the `hold` of `backed_up`); at 0 the first answer wins.
"""

from __future__ import annotations

from collagebench.schemes.backed_up import BackedUp, parse_hold
from collagebench.schemes.checks import check_count
from collagebench.schemes.groups import Flush

BATCH_AT_MOST = 256
"""The capacity of the largest collage. A batch is one message, and one full batch is timed before a run."""


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
        """Return `backup_batch` for backup tasks, else 1."""
        return self.backup_batch if role == "backup" else 1
