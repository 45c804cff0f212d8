"""Writing of a run directory: `run.json`, and one CSV file each for requests, tasks and cells.

Records are formatted as they come, so that the caller, an event loop, does not stall later, and put in a queue. A
thread of the writer writes the queue to disk every half second. So no caller waits for the disk, and a crash of the
process loses less than the last second. A cell's row is written only after everything before it is on disk, so a listed
cell is complete. `run.json` is replaced atomically whenever it changes.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from collagebench import __version__
from collagebench.claims import held, let_go, locked
from collagebench.errors import OutputError
from collagebench.kinds import read_json
from collagebench.results.directory import (
    CELLS,
    HEADER,
    REQUESTS,
    SCHEMA,
    TASKS,
    holds_no_record,
    not_writable,
    occupied,
)
from collagebench.results.environment import now
from collagebench.results.part import AT_ONCE, part_of
from collagebench.results.records import CellRecord, RequestRecord, TaskRecord
from collagebench.results.rows import Rows, cell_of, formatter
from collagebench.results.seal import FILES, OWN, header_checksum
from collagebench.whole import write_whole

FLUSH_EVERY = 0.5
"""Seconds between two writes of the thread."""
SPARE = 1 << 14
"""Bytes by which the last header may be longer than the first; disk space for it is reserved from the beginning."""


class RunWriter:
    """Writes one run directory.

    `request`, `task`, `cell`, `event` and `finish` raise OutputError if this or an earlier write failed; what was
    written before stays readable. Only one thread may call them.
    """

    def __init__(
        self, directory: Path, header: dict[str, Any], keep: Collection[tuple[str, int]] | None = None
    ) -> None:
        """Make `directory` and write the header.

        With `keep`, continue the run in `directory`: the records of these cells, (scheme, run), are kept, all others
        are dropped, and new ones are added. Without `keep`, the directory must be empty, or hold only a run that failed
        before it had a record.

        `header` is the content of `run.json`: `engine` (live or simulated), `config`, `environment`, `schemes`
        [{scheme, variant, about, allotment {role: workers}, options, settings}], `models`, `service` {mean_s,
        utilisation, rate}. `schema`, `tool`, `created_utc`, `status` and `events` are added here.

        Raises:
            OutputError: the directory is not empty (without `keep`), another process writes to it, or has since the
                header was read that is continued, or it cannot be made or written.
        """
        self._directory = directory
        self._header: dict[str, Any] = {
            "schema": SCHEMA,
            "tool": f"collagebench {__version__}",
            "created_utc": now(),
            "events": [],
            **header,
            "status": "running",
        }
        self._header.pop(FILES, None)  # from the run being continued
        self._error: OutputError | None = None
        self._closed = False
        try:
            directory.mkdir(parents=True, exist_ok=True)
            is_empty = not any(directory.iterdir())
        except OSError as error:
            raise OutputError(
                f"{directory} cannot be used as a run directory ({error.strerror}); choose another"
            ) from None
        self._lock = locked(directory)
        if keep is not None and _written_since(directory, header):
            let_go(self._lock)
            raise OutputError(f"another process has written to {directory} since it was read: repeat the command")
        if keep is None and holds_no_record(directory):
            keep = ()
        if not is_empty and keep is None:
            let_go(self._lock)
            raise occupied(directory)
        try:
            if keep is not None:
                try:
                    _put_in_place(self._without(lambda cell: cell not in keep))
                except OSError as error:
                    raise self._failed(error) from None
            self._spare = held(directory, self._write_header() + SPARE)
        except OutputError:
            let_go(self._lock)
            raise
        try:
            self._open()
        except OutputError as error:
            self._let_go()
            self._header.update(status="failed", error=str(error), finished_utc=now())
            with contextlib.suppress(OutputError):
                self._write_header()
            let_go(self._lock)
            raise
        self._line_of_request = formatter(RequestRecord)
        self._line_of_task = formatter(TaskRecord)
        self._line_of_cell = formatter(CellRecord)
        self._flushing = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._flush_until_stopped, name="run-writer", daemon=True)
        self._thread.start()

    def request(self, record: RequestRecord) -> None:
        """Add one request."""
        if self._error:
            raise self._error
        self._requests.queue.append(self._line_of_request(record))

    def task(self, record: TaskRecord) -> None:
        """Add one task."""
        if self._error:
            raise self._error
        self._tasks.queue.append(self._line_of_task(record))

    def take_over(self, place: int) -> None:
        """Add the requests and tasks of the cell at this place, which another process has written (see `new_part`)."""
        part = part_of(self._directory, place)
        for rows in (self._requests, self._tasks):
            try:
                with (part / rows.name).open(encoding="utf-8", newline="") as file:
                    while text := file.read(AT_ONCE):
                        rows.queue.append(text)
                        self._flush()
            except OSError as error:
                raise self._failed(error) from None
        shutil.rmtree(part, ignore_errors=True)

    def cell(self, record: CellRecord) -> None:
        """Add one finished cell; everything added before is written to disk first."""
        self._flush()
        self._cells.queue.append(self._line_of_cell(record))
        self._flush()

    def replace(self, cells: Sequence[dict[str, Any]]) -> bool:
        """Remove the records of cells, so that they can be measured again, and keep their old figures in the header.

        `cells` holds these: {scheme, run, dispatch_lag_p99_s, p50_s, p99_s} of each. Returns False, and changes
        nothing, if there is no room for a copy of the other records.
        """
        self._flush()
        names = {(facts["scheme"], facts["run"]) for facts in cells}
        with self._flushing:
            try:
                partials = self._without(lambda cell: cell in names)
            except OSError:
                return False
            known = self._header.setdefault("replaced", [])
            known += [facts for facts in cells if facts not in known]  # a killed attempt may have added them
            if "disturbances" in self._header:
                before = self._header["disturbances"]
                self._header["disturbances"] = [one for one in before if (one["scheme"], one["run"]) not in names]
            self._write_header()
            for rows in self._files:
                rows.close()
            try:
                _put_in_place(partials)
            except OSError as error:
                raise self._failed(error) from None
            self._open()
        return True

    def event(self, kind: str, message: str) -> None:
        """Record an event that a reader of the results must know about.

        The kind `worker lost` makes the report INVALID; the message of any other kind, such as `warning`, is shown as
        it is.
        """
        self._header["events"].append({"kind": kind, "message": message, "at_utc": now()})
        self._write_header()

    def disturbed(self, facts: dict[str, Any]) -> None:
        """Record one cell's disturbances: {scheme, run, began, came}, as they were started and as they turned out.

        For crashes, `came` lists the workers that were back in time, and `began` those that were not yet.
        """
        self._header.setdefault("disturbances", []).append(facts)
        self._write_header()

    def add(self, **facts: Any) -> None:
        """Add facts to the header that were not known when it was made, such as `hosts`."""
        self._header.update(facts)
        self._write_header()

    def finish(self, status: str, **facts: Any) -> None:
        """Write the queued records and the final header, with `facts`; `status` is done, interrupted or failed.

        If the records cannot be written, the header, for which space is reserved, says that the run failed, whatever
        `status` is.
        """
        try:
            self._flush()
        except OutputError as error:
            with contextlib.suppress(OutputError):
                self._end("failed", facts if status == "failed" else {"error": str(error)})
            raise
        self._end(status, facts)

    def _end(self, status: str, facts: Mapping[str, Any]) -> None:
        self._let_go()  # the header needs the room
        files = {rows.name: rows.checksum for rows in self._files}
        self._header.update(facts, status=status, finished_utc=now(), **{FILES: files})
        self._write_header()

    def close(self) -> None:
        """Write the queued records and end the thread; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        self._stop.set()
        self._thread.join()
        already_known = self._error is not None
        try:
            self._flush()
        except OutputError:
            if not already_known:
                raise
        finally:
            for rows in self._files:
                rows.close()
            self._let_go()
            let_go(self._lock)

    def _let_go(self) -> None:
        """Release the disk space that is reserved for the last header."""
        let_go(self._spare)
        self._spare = None

    def _open(self) -> None:
        self._requests = self._rows(REQUESTS, RequestRecord)
        self._tasks = self._rows(TASKS, TaskRecord)
        self._cells = self._rows(CELLS, CellRecord)
        self._files = (self._requests, self._tasks, self._cells)  # cells last, as their rows say what is complete

    def _rows(self, name: str, kind: type) -> Rows:
        try:
            rows = Rows(self._directory / name)
            if rows.is_new:
                rows.queue.append(",".join(field.name for field in fields(kind)) + "\n")
            rows.write()
        except OSError as error:
            raise self._failed(error) from None
        return rows

    def _without(self, goes: Callable[[tuple[str, int] | None], bool]) -> list[Path]:
        """Write a copy of each file beside it, without the records of the cells that go; return the copies.

        The cells, which say what is complete, are first. Raises OSError, and then leaves no copies."""
        partials: list[Path] = []
        try:
            for name in (CELLS, REQUESTS, TASKS):
                path = self._directory / name
                if not path.exists():  # the disk was full before it was made
                    continue
                partials.append(path.with_suffix(".csv.partial"))
                with path.open(encoding="utf-8", newline="") as old, partials[-1].open("w", encoding="utf-8") as new:
                    whole = (line for line in old if line.endswith("\n"))
                    new.writelines(line for at, line in enumerate(whole) if at == 0 or not goes(cell_of(line)))
        except OSError:
            for partial in partials:
                partial.unlink(missing_ok=True)
            raise
        return partials

    def _flush(self) -> None:
        with self._flushing:
            if self._error:
                raise self._error
            try:
                for rows in self._files:
                    rows.write()
            except OSError as error:
                raise self._failed(error) from None

    def _flush_until_stopped(self) -> None:
        while not self._stop.wait(FLUSH_EVERY):
            try:
                self._flush()
            except OutputError:
                return  # kept in _error; the next call of the owner raises it

    def _write_header(self) -> int:
        """Write the header; return its size in bytes."""
        # An error message may contain a path that is not UTF-8, which could be written, but not printed.
        plain = json.loads(json.dumps(self._header, default=str, ensure_ascii=False).encode(errors="replace"))
        content = f"{json.dumps({**plain, OWN: header_checksum(plain)}, indent=1)}\n".encode()
        try:
            write_whole(self._directory / HEADER, content)
        except OSError as error:
            raise self._failed(error) from None
        return len(content)

    def _failed(self, error: OSError) -> OutputError:
        self._error = not_writable(self._directory, error)
        return self._error


def _written_since(directory: Path, header: Mapping[str, Any]) -> bool:
    """Return whether `run.json` has changed since `header`, the one that is continued, was read from it."""
    try:
        return OWN in header and read_json(directory / HEADER).get(OWN) != header[OWN]
    except (OSError, ValueError, AttributeError):
        return True


def _put_in_place(partials: Sequence[Path]) -> None:
    for partial in partials:
        partial.replace(partial.with_suffix(""))
