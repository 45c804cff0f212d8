"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from full_disk import files_limited_to

from collagebench.whole import leftovers, write_together, write_whole


def test_a_file_is_made_or_replaced(tmp_path: Path) -> None:
    """`write_whole` makes or replaces a file with the given content and leaves no other file."""
    path = tmp_path / "f.json"
    for content in (b"first, and longer", b"second"):
        write_whole(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_who_may_read_a_file_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replaced file keeps its permissions, also while it is written; a new one has those of the umask."""
    path = tmp_path / "f.json"
    write_whole(path, b"new")
    (tmp_path / "other").write_bytes(b"")
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode
    path.chmod(0o600)
    meanwhile = []
    monkeypatch.setattr(os, "fsync", lambda file: meanwhile.append(os.fstat(file).st_mode & 0o777))
    write_whole(path, b"again")
    assert [path.stat().st_mode & 0o777, *meanwhile] == [0o600, 0o600]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """On a full disk `write_whole` raises OSError, keeps the old file, and leaves neither a new one nor a part."""
    path = tmp_path / "f.json"
    write_whole(path, b"old")
    for each in (path, tmp_path / "new.json"):
        with files_limited_to(100), pytest.raises(OSError, match="File too large"):
            write_whole(each, bytes(1000))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_of_files_that_belong_together_none_is_replaced_alone(tmp_path: Path) -> None:
    """If one of two files does not fit on the disk, the error names it, and the other keeps its old content, too."""
    small, large = tmp_path / "small", tmp_path / "large"
    write_together({small: b"old", large: b"old"})
    with files_limited_to(100), pytest.raises(OSError, match="File too large") as error:
        write_together({small: b"new", large: bytes(1000)})
    assert error.value.filename == str(large)
    assert [path.read_bytes() for path in (small, large)] == [b"old", b"old"]
    write_together({small: b"new", large: b"too"})
    assert [path.read_bytes() for path in (small, large)] == [b"new", b"too"]
    assert sorted(tmp_path.iterdir()) == [large, small]


def test_content_is_on_the_disk_before_it_has_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When fsync is called, all the new content is in the file, and the name still leads to the old one."""
    path = tmp_path / "f.json"
    path.write_bytes(b"old")
    seen = []
    monkeypatch.setattr(os, "fsync", lambda file: seen.append((path.read_bytes(), os.fstat(file).st_size)))
    write_whole(path, b"new one")
    assert seen == [(b"old", 7)]


def test_readers_never_see_a_part(tmp_path: Path) -> None:
    """While two processes keep replacing a file, a reader always finds the whole content of one of them."""
    path = tmp_path / "f.json"
    whole = [letter * 300_000 for letter in (b"a", b"b")]
    write_whole(path, whole[0])
    script = (
        "import pathlib, sys; from collagebench.whole import write_whole\n"
        "while True: write_whole(pathlib.Path(sys.argv[1]), sys.argv[2].encode() * 300_000)"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", script, path, letter], cwd=Path(__file__).parents[1])
        for letter in ("a", "b")
    ]
    try:
        seen = set()
        while len(seen) < 2:
            seen.add(path.read_bytes())
        seen |= {path.read_bytes() for _ in range(200)}
        assert seen == set(whole)
        assert all(writer.poll() is None for writer in writers)
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()


def test_what_a_killed_process_leaves_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process killed before the new file has its name leaves a partial file, which `leftovers` finds.

    The file of a process that is still there is not found, because it may be writing.
    """
    path = tmp_path / "f.json"
    script = (
        "import os, pathlib, signal, sys; from collagebench.whole import write_whole\n"
        "os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_whole(pathlib.Path(sys.argv[1]), b'new')"
    )
    assert subprocess.run([sys.executable, "-c", script, path], cwd=Path(__file__).parents[1]).returncode == -9
    others = [".g.json.9999999.partial", f".f.json.{os.getpid()}.partial"]
    for other in others:
        (tmp_path / other).touch()
    (left,) = leftovers(path)
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted([*others, left.name])


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """If the path is a symbolic link, its target is replaced, not the link."""
    (tmp_path / "real").mkdir()
    link = tmp_path / "f.json"
    link.symlink_to(tmp_path / "real" / "f.json")
    write_whole(link, b"new")
    assert link.is_symlink()
    assert (tmp_path / "real" / "f.json").read_bytes() == b"new"


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    """A named pipe is not replaced by a file; the content is written into it."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    write_whole(path, b"new")
    assert os.read(reader, 100) == b"new"
    os.close(reader)
    assert path.is_fifo()


def test_a_pipe_of_a_shell_is_written_to() -> None:
    """The content is written into an unnamed pipe too, such as /dev/stdout or a shell's process substitution."""
    read, write = os.pipe()
    write_whole(Path(f"/dev/fd/{write}"), b"new")
    assert os.read(read, 100) == b"new"
    os.close(read)
    os.close(write)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_protected_file_stays(tmp_path: Path) -> None:
    """A read-only file is not replaced, although its directory is writable."""
    path = tmp_path / "f.json"
    path.touch(mode=0o444)
    with pytest.raises(PermissionError):
        write_whole(path, b"new")
    assert path.read_bytes() == b""
