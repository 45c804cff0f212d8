"""Promises about the whole source, checked by reading it: no pickle, no shell, no verification turned off."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import collagebench

SOURCE = sorted(Path(collagebench.__file__).parent.rglob("*.py"))


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """Yield the file, the dotted name and the node of every call in the source."""
    for path in SOURCE:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield path.name, ast.unparse(node.func), node


def keyword(call: ast.Call, name: str) -> str | None:
    """Return the value that a call gives to a keyword, as source."""
    return next((ast.unparse(each.value) for each in call.keywords if each.arg == name), None)


def test_nothing_is_unpickled_or_evaluated() -> None:
    """Nothing calls pickle, marshal, shelve, eval or exec, and NumPy's and PyTorch's loaders do not unpickle."""
    for file, name, call in calls():
        first, _, last = name.rpartition(".")
        assert name not in ("eval", "exec", "compile", "__import__"), file
        assert first.split(".")[0] not in ("pickle", "marshal", "shelve", "dill", "cloudpickle"), (file, name)
        if name == "np.load":
            assert keyword(call, "allow_pickle") in (None, "False"), file
        if name == "torch.load":
            assert keyword(call, "weights_only") == "True", file
        assert last != "loads" or first in ("json", "tomllib"), (file, name)


def test_no_shell_is_built_from_texts() -> None:
    """No call hands a command line to a shell: no os.system, os.popen, getoutput or shell=True."""
    for file, name, call in calls():
        assert name not in ("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"), file
        assert not name.endswith("create_subprocess_shell"), file
        assert keyword(call, "shell") in (None, "False"), file


def scripts() -> Iterator[tuple[str, ast.expr]]:
    """Yield the file and the script of every list that begins with a shell and -c; a name is followed once."""
    for path in SOURCE:
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        values = {ast.unparse(each.targets[0]): each.value for each in nodes if isinstance(each, ast.Assign)}
        for node in nodes:
            if isinstance(node, ast.List | ast.Tuple) and len(node.elts) > 2:
                shell, flag, script = map(ast.unparse, node.elts[:3])
                if shell.endswith("sh'") and flag == "'-c'":
                    yield path.name, values.get(script, node.elts[2])


def test_a_shell_gets_only_constant_scripts() -> None:
    """The script of every `sh -c` is made of texts and constants only; paths are its arguments."""
    found = list(scripts())
    assert {file for file, _ in found} == {"kept.py", "on_ray.py", "outpost.py"}
    for file, script in found:
        for node in ast.walk(script):
            assert not isinstance(node, ast.Call | ast.Attribute | ast.Subscript), file
            assert not isinstance(node, ast.Name) or node.id.isupper(), (file, node.id)


def test_no_check_of_identities_is_turned_off() -> None:
    """The source contains none of the settings that turn off the verification of TLS or of SSH host keys."""
    for path in SOURCE:
        text = path.read_text(encoding="utf-8")
        for way in ("CERT_NONE", "_create_unverified", "check_hostname = False", "UserKnownHostsFile=/dev/null"):
            assert way not in text, path
        assert "StrictHostKeyChecking=no" not in text, path
        assert "StrictHostKeyChecking=accept" not in text, path
