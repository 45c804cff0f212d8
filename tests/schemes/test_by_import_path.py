"""A user's own schemes, named by an import path, run like the bundled ones and stay apart from them."""

from __future__ import annotations

import importlib
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import collagebench, exit_code
from synthetic_run import HEADER, make_run

from collagebench.errors import UsageError
from collagebench.schemes import about, files_of, make, options_of, settings

SLOWER = '''
from __future__ import annotations

from collections.abc import Collection

from collagebench.schemes.protocol import Action, Request, Scheme, Task, Wake


class Later(Scheme):
    """Sends every request a little later.

    Nobody wants that.
    """

    def __init__(self, wait_for: float = 0.05) -> None:
        super().__init__()
        self.wait_for = wait_for

    def arrived(self, request: Request, now: float) -> list[Action]:
        return [Wake(request, now + self.wait_for)]

    def woke(self, token: Request, now: float) -> list[Action]:
        return [self._send("single", (token,))]

    def replied(self, task: Task, now: float, missing: Collection[int] = ()) -> list[Action]:
        (request,) = task.requests
        return self._answer(request, "own", task)


class Undescribed(Later):
    pass


class Tied(Later):
    pass


class Loud(Later):
    def __init__(self, verbose: bool = False) -> None:
        super().__init__()


class Needy(Later):
    def needs(self, role):
        raise KeyError(role)


number = 5
'''
ODD = '''
from __future__ import annotations

import typing as t
from dataclasses import dataclass
from typing import *

from collagebench.schemes.plain import NoRedundancy


@dataclass
class Options(NoRedundancy):
    """It has an option of every type."""

    number: int = 1
    share: float | None = None
    text: str = "a"
    switch: bool = False
    word: Literal["point", "line"] | None = None
    other: t.Optional[t.Literal[1, 2]] = None
    either: Union[int, str] = 1
    several: list[int] = ()

    def __post_init__(self):
        super().__init__()


@dataclass
class Silent(NoRedundancy):
    number: int = 1


class Unwritten(NoRedundancy):
    __doc__ = 5

    def __init__(self, first=1, /, anything=None, *others, **more):
        super().__init__()


class Unread(NoRedundancy):
    def __init__(self, number: int = 1, missing: list[Missing] | None = None):
        super().__init__()


class Misspelt(NoRedundancy):
    def __init__(self, number: int["x"] = 1):
        super().__init__()


class Needed(NoRedundancy):
    def __init__(self, number: int):
        super().__init__()


class Positional(NoRedundancy):
    def __init__(self, number, /):
        super().__init__()


class Never(NoRedundancy):
    """It has a limit that is never reached."""

    def __init__(self, limit: float = float("inf"), other=float("nan")):
        super().__init__()


class Five(NoRedundancy):
    def __new__(cls):
        return 5


class Timed(NoRedundancy):
    def __init__(self, deadline: float = 0.1):
        super().__init__()
        self.deadline = deadline


class Pairs(NoRedundancy):
    def __init__(self, batch: int = 2):
        super().__init__()
        self.batch = batch


class Named(NoRedundancy):
    def __init__(self, variant: str = "a"):
        super().__init__()
'''
SIMULATED = ("--runs", 2, "--requests", 200, "--compute-time", 0.004)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a directory with a module of schemes; what is imported from it is forgotten afterwards."""
    (tmp_path / "my_schemes.py").write_text(SLOWER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def schemes(cell: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return a report's schemes by variant."""
    return {scheme["variant"]: scheme for scheme in cell["schemes"]}


@pytest.mark.processes
def test_a_sweep_has_it_beside_ours(own: Path) -> None:
    """A user's scheme runs in a sweep of several processes, under its class's name and description.

    Its requests are later by its delay, and a report shows its description even without its file.
    """
    code, out, err = collagebench(
        "simulate", "--scheme", "none,my_schemes:Later", "--utilisation", "0.1,0.2", "--jobs", 2, *SIMULATED,
        "--format", "json", "--out", "s", cwd=own,
    )  # fmt: skip
    assert code == 0, err
    for cell in json.loads(out)["cells"]:
        none, later = schemes(cell)["none"], schemes(cell)["Later"]
        assert later["scheme"] == "my_schemes:Later"
        assert later["about"] == "Sends every request a little later."
        assert later["latency_s"]["p50"] - none["latency_s"]["p50"] == pytest.approx(0.05, abs=0.02)
        assert later["accuracy"]["overall"] == none["accuracy"]["overall"]
    (own / "my_schemes.py").unlink()
    code, page, _ = collagebench("report", "s/utilisation=0.1", "--format", "html", cwd=own)
    assert code == 0
    assert "Sends every request a little later." in page


@pytest.mark.processes
def test_real_workers_serve_it(own: Path) -> None:
    """`run` measures a user's scheme, and a gate names it by its class."""
    small = ("--workers", 2, "--runs", 2, "--requests", 40, "--rate", 20)
    gate = ("--fail-if", "Later.p50 < none.p50")
    code, out, err = collagebench(
        "run", "--scheme", "none,my_schemes:Later", *small, *gate, "--format", "json", "--out", "r", cwd=own
    )
    assert code in (0, 4), err
    found = json.loads(out)
    assert [gate["failed"] for gate in found["gates"]] == [False]
    assert schemes(found["runs"][0] if "runs" in found else found)["Later"]["failed"] == 0


def test_a_report_imports_no_scheme(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A report in any format shows the scheme that a run directory names, without importing it."""
    (own / "evil.py").write_text("open('imported', 'w')\n")
    config = {**HEADER["config"], "schemes": [{"name": "evil:Scheme", "variant": "mine", "options": {}}]}
    told = [{"variant": "mine", "scheme": "evil:Scheme", "allotment": {"single": 10}, "options": {}}]
    make_run(own / "r", {"mine": [[0.01] * 20] * 2}, header={"schemes": told, "config": config})
    for form in ("table", "html", "svg", "markdown", "csv", "json", "trace"):
        assert exit_code("report", "r", "--format", form) in (0, 4), capsys.readouterr().err
        assert "mine" in capsys.readouterr().out
    assert not (own / "imported").exists()


def test_its_options_are_its_constructors(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A profile sets the constructor's options, several values make variants, and an unknown option has its line."""
    profile = own / "p.toml"
    profile.write_text('[[scheme]]\nname = "my_schemes:Later"\nwait-for = [0.0, 0.1]\n')
    asked = ("simulate", "--profile", "p.toml", *SIMULATED)
    assert exit_code(*asked, "--format", "json") == 0
    found = schemes(json.loads(capsys.readouterr().out))
    assert list(found) == ["Later wait-for=0", "Later wait-for=0.1"]
    p50 = [scheme["latency_s"]["p50"] for scheme in found.values()]
    assert p50[1] - p50[0] == pytest.approx(0.1, abs=0.02)
    profile.write_text('[[scheme]]\nname = "my_schemes:Loud"\nverbose = [true, false]\n')
    assert exit_code(*asked, "--format", "json") == 0
    assert list(schemes(json.loads(capsys.readouterr().out))) == ["Loud verbose=false", "Loud verbose=true"]
    profile.write_text('[[scheme]]\nname = "my_schemes:Later"\nwait-four = 0.1\n')
    assert exit_code(*asked) == 2
    said = capsys.readouterr().err
    assert "p.toml, line" in said
    assert "scheme my_schemes:Later has no option 'wait-four'; its options: wait-for" in said
    profile.write_text('[[scheme]]\nname = "my_schemes:Loud"\nverbose = 3\n')  # the command has an option of this name
    assert exit_code(*asked) == 2
    assert "p.toml, line 3: verbose of scheme my_schemes:Loud cannot be 3; it takes bool" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "code", "sentence"),
    [
        ("my_schems:Later", 2, "my_schems:Later cannot be imported (No module named 'my_schems'); Python looks in"),
        (
            "my_schemes:Latter",
            2,
            "my_schemes:Latter cannot be imported (module 'my_schemes' has no attribute 'Latter')",
        ),
        (
            "my_schemes:number",
            2,
            "my_schemes:number is not a scheme: it must be a class derived from collagebench.schemes.",
        ),
        ("numpy:Later", 2, "(module 'numpy' has no attribute 'Later'); the module is "),
        ("numpy:ndarray", 2, "numpy:ndarray is not a scheme"),
        (
            "queue:Later",
            2,
            "queue:Later cannot be imported: queue is a standard-library module; rename yours",
        ),
        ("./my_schemes:Later", 2, "a module is named package.module, without directories and .py"),
        ("my_schemes.py:Later", 2, "a module is named package.module, without directories and .py"),
        ("broken:Later", 1, "broken:Later: importing it failed (ValueError: no schemes today, in broken.py, line 1)"),
        ("misspelt:Later", 1, "misspelt:Later: importing it failed (SyntaxError: expected ':' (misspelt.py, line 1))"),
        ("null:Later", 1, "null:Later: importing it failed ("),
        ("null:Later", 1, "source code string cannot contain null bytes, in null.py)"),
        (
            "needy:Later",
            1,
            "importing it failed (ModuleNotFoundError: No module named 'not_there', in needy.py, line 2)",
        ),
        ("asked:Later", 1, "importing it failed (KeyError: 'Later', in asked.py, line 2)"),
        (
            "odd:Unread",
            1,
            "the annotation of the option `missing` of scheme odd:Unread cannot be evaluated: NameError: name "
            "'Missing' is not defined (odd.py, line 41, in __init__); import what it names at run time, not under TYPE",
        ),
        ("odd:Misspelt", 1, "the annotation of an option of scheme odd:Misspelt cannot be evaluated: TypeError: "),
        (
            "odd:Needed",
            2,
            "the option `number` of scheme odd:Needed has no default: every option needs one (odd.py, line 51, in __in",
        ),
        ("odd:Positional", 2, "the option `number` of scheme odd:Positional has no default: every option needs one"),
        ("odd:Five", 2, "odd:Five returned 5, not a scheme"),
        ("odd:Pairs", 2, "the scheme Pairs sets its `batch` to 2, which is a method: rename yours"),
        ("odd:Named", 2, "odd:Named has an option 'variant', which is a key of every [[scheme]] table: rename it"),
        ("odd:Timed", 2, "the scheme Timed sets its `deadline`, which the engine sets to --deadline: rename yours"),
        ("my_schemes", 2, "there is no scheme called 'my_schemes'; there are approxifer, "),
        ("my_schemes:", 2, "one of your own is named module:Class"),
        (":Later", 2, "one of your own is named module:Class"),
    ],
)
def test_what_is_no_scheme_is_one_sentence(
    own: Path, capsys: pytest.CaptureFixture[str], name: str, code: int, sentence: str
) -> None:
    """A name that leads to no usable scheme is refused in one sentence, before anything is done."""
    (own / "broken.py").write_text("raise ValueError('no schemes today')\n")
    (own / "misspelt.py").write_text("class Later\n")
    (own / "null.py").write_text("\0")
    (own / "needy.py").write_text("import json\nimport not_there\n")
    (own / "asked.py").write_text("def __getattr__(name):\n    raise KeyError(name)\n")
    (own / "queue.py").write_text(SLOWER)
    (own / "odd.py").write_text(ODD)
    assert exit_code("simulate", "--scheme", name, "--out", "r") == code
    said = capsys.readouterr()
    assert sentence in said.err
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert not (own / "r").exists()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("my_schems:Later", "the scheme my_schems:Later cannot be imported (No module named 'my_schems')"),
        ("my_schemes:Latter", "the scheme my_schemes:Latter cannot be imported (module 'my_schemes' has no"),
        ("my_schemes:number", "my_schemes:number is not a scheme"),
        (
            "my_schemes:bound",
            "a variant's name must not be 'bound', which is a row of every report: give my_schemes:bound another ",
        ),
        ("hegde", "there is no scheme called 'hegde'; did you mean 'hedge'? One of your own is named module:Class"),
    ],
)
def test_a_profile_is_told_the_line_that_names_no_scheme(
    own: Path, capsys: pytest.CaptureFixture[str], name: str, sentence: str
) -> None:
    """A profile's name that leads to no scheme, or cannot name a variant, is refused with its line."""
    (own / "my_schemes.py").write_text(f"{SLOWER}\n\nclass bound(Later):\n    pass\n")
    (own / "p.toml").write_text(f'[[scheme]]\nname = "my_schemes:Later"\n\n[[scheme]]\nname = "{name}"\n')
    assert exit_code("simulate", "--profile", "p.toml", *SIMULATED) == 2
    assert f"profile p.toml, line 5: {sentence}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "taken", "refused"),
    [
        ("number", (2,), (2.5, True, "2")),
        ("share", (2, 0.5), (True, "x")),
        ("text", ("b", ""), (1, False)),
        ("switch", (True,), (1, "yes")),
        ("word", ("point", "line"), ("print", 1)),
        ("other", (1, 2), (3, True, 1.0, "1")),
        ("either", (2, "b"), (2.5, True)),
        ("several", (), (1, "a")),
    ],
)
def test_an_option_takes_what_its_annotation_says(
    own: Path, option: str, taken: tuple[Any, ...], refused: tuple[Any, ...]
) -> None:
    """An option takes the values of its annotation, however it is written; others are refused with what it takes."""
    (own / "odd.py").write_text(ODD)
    for value in taken:
        assert getattr(make("odd:Options", {option: value}), option) == value
    for value in refused:
        with pytest.raises(UsageError, match=rf"^{option} of scheme odd:Options cannot be .*; it takes "):
            make("odd:Options", {option: value})


def test_an_option_without_annotation_takes_anything(own: Path) -> None:
    """An option without annotation takes anything; parameters that cannot be named are no options.

    A scheme without a docstring has no description.
    """
    (own / "odd.py").write_text(ODD)
    assert [*options_of("odd:Unwritten")] == ["anything"]
    assert settings("odd:Unwritten", {}) == {}
    for value in (1, 2.5, "a", True):
        assert settings("odd:Unwritten", {"anything": value}) == {"anything": value}
        make("odd:Unwritten", {"anything": value})
    assert about("odd:Unwritten") is about("odd:Silent") is None
    assert about("odd:Options") == "It has an option of every type."


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        (
            "limit = inf",
            "limit of scheme odd:Never cannot be inf: an option is a finite number; if it may be never, ann",
        ),
        ("limit = [1.0, -inf]", "limit of scheme odd:Never cannot be -inf: an option is a finite number"),
        ("other = nan", "other of scheme odd:Never cannot be nan: an option is a finite number"),
        ("other = 2020-01-02", "other of scheme odd:Never cannot be 2020-01-02; it takes int, float, str or bool"),
        ("other = 07:32:00", "other of scheme odd:Never cannot be 07:32:00; it takes int, float, str or bool"),
        ("other = {a = 1}", "other of scheme odd:Never cannot be {'a': 1}; it takes int, float, str or bool"),
        ("limit = true", "limit of scheme odd:Never cannot be true; it takes float"),
    ],
)
def test_a_profile_is_told_the_line_of_a_value_that_no_option_has(
    own: Path, capsys: pytest.CaptureFixture[str], written: str, sentence: str
) -> None:
    """What JSON does not have (infinity, NaN, a date, a time) is refused for any option, with the profile's line."""
    (own / "odd.py").write_text(ODD)
    (own / "p.toml").write_text(f'[[scheme]]\nname = "odd:Never"\n{written}\n')
    assert exit_code("simulate", "--profile", "p.toml", *SIMULATED, "--out", "r") == 2
    assert f"profile p.toml, line 3: {sentence}" in capsys.readouterr().err
    assert not (own / "r").exists()


def test_an_annotation_that_no_option_may_have_is_named(own: Path) -> None:
    """An option whose annotation no value of a profile fits is refused with the annotations that it may have."""
    (own / "odd.py").write_text(ODD)
    for value in ([1], 1):
        with pytest.raises(
            UsageError, match=r"it takes list\[int\], which no profile can give: annotate it with int, fl"
        ):
            make("odd:Options", {"several": value})


def test_a_default_may_be_infinite(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A default of infinity or NaN is left out of the settings, as None is, so that records are valid JSON."""
    (own / "odd.py").write_text(ODD)
    assert settings("odd:Never", {}) == {}
    asked = ("--scheme", "none,odd:Never", "--utilisation", "0.1,0.2", *SIMULATED, "--out", "s")
    assert exit_code("simulate", *asked) == exit_code("simulate", *asked, "--resume") == 0, capsys.readouterr().err
    for written in (own / "s").rglob("*.json"):
        assert not {"Infinity", "NaN"} & {*written.read_text().replace(",", " ").split()}
    assert exit_code("report", "s/utilisation=0.1", "--format", "html", "--out", "r.html") == 0
    assert "--limit" not in (own / "r.html").read_text()
    small = ("--scheme", "none,odd:Never", "--utilisation", "0.2", *SIMULATED)
    assert exit_code("recommend", *small, "--out", "a", "--format", "json") == 0, capsys.readouterr().err


@pytest.mark.processes
def test_what_was_begun_with_another_file_is_not_gone_on_with(own: Path) -> None:
    """A run is resumed only if the scheme's file and what it imports beside it are unchanged.

    That includes the files of a package without `__init__.py`.
    """
    (own / "named.py").write_text("NUMBER = 5\n")
    (own / "spaced" / "deep").mkdir(parents=True)
    (own / "spaced" / "deep" / "helper.py").write_text("def help(): pass\n")
    (own / "spaced" / "mine.py").write_text("from my_schemes import Later\n\n\nclass Mine(Later):\n    pass\n")
    (own / "my_schemes.py").write_text(SLOWER.replace("number = 5", "def number():\n    from named import NUMBER"))
    asked = ("simulate", "--scheme", "spaced.mine:Mine", *SIMULATED, "--out", "r")
    again = ("simulate", "--resume", "--out", "r")
    assert collagebench(*asked, cwd=own)[0] == 0
    assert collagebench(*again, cwd=own)[0] == 0
    for path in (own / "my_schemes.py", own / "named.py", own / "spaced" / "deep" / "helper.py"):
        before = path.read_text()
        path.write_text(f"{before}# changed\n")
        code, out, err = collagebench(*again, cwd=own)
        assert (code, out) == (2, ""), path
        assert "r was begun before this program or a scheme of yours was changed" in err
        path.write_text(before)


@pytest.mark.processes
def test_a_report_says_that_the_code_was_changed(own: Path) -> None:
    """Between two runs, also in a file that it imports; where no byte was changed there is no such line."""
    (own / "named.py").write_text("NUMBER = 5\n")
    (own / "my_schemes.py").write_text(f"{SLOWER}\nimport named\n")
    asked = ("simulate", "--scheme", "none,my_schemes:Later", *SIMULATED, "--out")
    for name in ("a", "b", "c"):
        if name == "c":
            (own / "named.py").write_text("NUMBER = 6\n")
        assert collagebench(*asked, name, cwd=own)[0] == 0
    assert "the runs differ in" not in collagebench("report", "a", "b", cwd=own)[1]
    assert "the runs differ in: code of Later\n" in collagebench("report", "a", "c", cwd=own)[1]


def test_a_scheme_is_written_in_the_files_of_its_classes(own: Path) -> None:
    """A scheme's files are those of its module, base classes and package, and what they import beside them.

    A module that it is only named by counts too; bundled schemes, Python's modules and environments do not.
    """
    package = own / "my_package"
    (package / "deep").mkdir(parents=True)
    (package / "env" / "site-packages").mkdir(parents=True)
    (package / "env" / "site-packages" / "installed.py").write_text("")
    (package / "__init__.py").write_text("")
    (package / "deep" / "never_imported.py").write_text("import (")
    (package / "deep" / "helper.py").write_text("import beside.one, unknown\nfrom . import my_schemes\n")
    (package / "schemes.py").write_text("import enum\nimport my_schemes\n\n\nclass Mine(my_schemes.Later):\n    pass\n")
    (own / "beside").mkdir()
    (own / "beside" / "one.py").write_text("import my_package.schemes\n")
    (own / "not_imported.py").write_text("")
    (own / "named.py").write_text("from my_schemes import Later\n\nLater.settled = True\n")
    whole = {package / "__init__.py", package / "schemes.py", *(package / "deep").iterdir()}
    assert files_of(["none", "collage"]) == ()
    assert files_of(["my_schemes:Later", "none"]) == (own / "my_schemes.py",)
    assert files_of(["named:Later"]) == (own / "my_schemes.py", own / "named.py")
    assert {*files_of(["my_package.schemes:Mine"])} == {*whole, own / "my_schemes.py", own / "beside" / "one.py"}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("import beside", True),
        ("importlib.import_module('beside.deep')", True),
        ("import_module(name='beside')", True),
        ("__import__('beside')", True),
        ("import_module('.beside', 'pack')", False),
        ("import_module('be' + 'side')", False),
        ("import_module()", False),
        ("import_module('/')", False),
        ("open('beside')", False),
        ("{}['import_module']('beside')", False),
    ],
)
def test_a_module_is_imported_by_a_statement_or_a_function(own: Path, line: str, found: bool) -> None:
    """Anywhere in the file; a name that is put together as the program runs is none, nor is another function's."""
    (own / "beside.py").write_text("")
    (own / "my_schemes.py").write_text(f"{SLOWER}\n\ndef later():\n    if number:\n        {line}\n")
    assert (own / "beside.py" in files_of(["my_schemes:Later"])) == found


def test_what_a_module_prints_is_no_part_of_the_output(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a module prints while it is imported goes to standard error, so that the JSON stays readable."""
    (own / "my_schemes.py").write_text(f"{SLOWER}\nprint('hello')\n")
    assert exit_code("simulate", "--scheme", "my_schemes:Later", *SIMULATED, "--format", "json") == 0
    said = capsys.readouterr()
    assert [scheme["variant"] for scheme in json.loads(said.out)["schemes"]] == ["Later"]
    assert "hello\n" in said.err


def test_a_file_beside_it_does_not_pass_for_pythons_own(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory is searched first for the scheme, and afterwards only for what Python does not have."""
    (own / "elsewhere").mkdir()
    (own / "elsewhere" / "my_schemes.py").write_text("")
    (own / "this.py").write_text("raise ValueError('a file of the user was taken')\n")
    sys.path.insert(0, str(own / "elsewhere"))
    make("my_schemes:Later", {})
    monkeypatch.delitem(sys.modules, "this", raising=False)
    importlib.import_module("this")
    assert sys.path.index(str(own)) == len(sys.path) - 1


def test_one_without_a_description_has_none(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A scheme without a docstring does not take its base class's description."""
    asked = ["simulate", "--scheme", "my_schemes:Undescribed", *SIMULATED, "--format", "json"]
    assert exit_code(*asked) == 0
    (one,) = json.loads(capsys.readouterr().out)["schemes"]
    assert one["about"] is None


def test_studies_take_it(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`crossover` and `recommend` accept a user's scheme, with its defaults."""
    small = ["--runs", "3", "--requests", "150", "--compute-time", "0.004", "--format", "json"]
    assert exit_code("crossover", "--scheme", "none,my_schemes:Later", "--from", "0.1", "--to", "0.3", *small) == 0
    assert "Later" in capsys.readouterr().out
    assert exit_code("recommend", "--scheme", "none,my_schemes:Later", "--utilisation", "0.2", *small) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["choice"] == "none"
    assert "Later" in json.dumps(answer)


def test_a_recommendation_takes_its_options_from_a_profile(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside its defaults if it is named; and since the command line does not have them, the command that tries the
    choice takes them from a profile that lies beside the answer."""
    (own / "often.py").write_text(
        "from collagebench.schemes.replication import Replication\n\n\nclass Often(Replication):\n    pass\n"
    )
    (own / "p.toml").write_text('[[scheme]]\nname = "often:Often"\nvariant = "drei \u00fcber"\nreplicas = 3\n')
    small = ["--runs", "10", "--requests", "150", "--compute-time", "0.001", "--utilisation", "0.02"]
    asked = ["recommend", "--profile", "p.toml", "--scheme", "often:Often", *small, "--format", "json", "--out", "r"]
    assert exit_code(*asked, "--slo-quantile", "p95") == 0
    answer = json.loads(capsys.readouterr().out)
    assert [one["variant"] for one in answer["candidates"]] == ["none", "Often", "drei \u00fcber"]
    assert answer["choice"] == "drei \u00fcber"
    assert exit_code("simulate", *shlex.split(answer["command"]), "--requests", "20", "--runs", "1", "--out", "s") == 0
    (plain, tried) = json.loads((own / "s" / "run.json").read_text())["schemes"]
    assert plain["scheme"] == "none"
    assert {"scheme": "often:Often", "variant": "drei \u00fcber", "options": {"replicas": 3}}.items() <= tried.items()


def test_a_recommendation_tells_it_from_ours(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A class may have a bundled scheme's name in another case, and its failure is reported as its own."""
    asked = ["recommend", "--utilisation", "0.2", "--format", "json", *SIMULATED, "--scheme"]
    assert exit_code(*asked, "none,tied,my_schemes:Tied", "--out", "r") == 0
    found = {one["variant"]: one["latency_s"] for one in json.loads(capsys.readouterr().out)["candidates"]}
    assert found["Tied"] > found["tied"] == found["none"]
    assert exit_code(*asked, "none,my_schemes:Needy") == 1
    assert "the scheme Needy failed in needs: KeyError: 'single' (my_schemes.py, line" in capsys.readouterr().err


def test_a_cluster_does_not_have_it(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--on-ray` is refused with a user's scheme, because the nodes do not have its file."""
    asked = ["simulate", "--scheme", "my_schemes:Later", "--utilisation", "0.1,0.2", "--on-ray", "auto"]
    assert exit_code(*asked) == 2
    assert "the scheme my_schemes:Later is not available on the nodes of a cluster" in capsys.readouterr().err
