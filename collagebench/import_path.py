"""Import of a user's own objects by a path such as `package.module:name`, and the source files of their modules."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

from collagebench.errors import CollagebenchError, UsageError, first_line
from collagebench.ordinary import ordinary

INSTALLED = ("site-packages", "dist-packages")
CALLED = ("import_module", "__import__")
"""Functions that import a module, whatever they are an attribute of."""


def imported(path: str, said: str) -> Any:
    """Return the object at an import path; the current directory is searched, too.

    `said` is the beginning of messages about it, such as `--network here:make`. What the module prints during the
    import goes to standard error, so that standard output holds only the command's own output.

    Raises:
        UsageError: there is no such module, or it has no such name.
        CollagebenchError: the module fails when it is imported.
    """
    module, _, name = path.partition(":")
    top = module.partition(".")[0]
    if not top or "/" in module or module.endswith(".py"):
        raise UsageError(f"{said} cannot be imported: a module is named package.module, without directories and .py")
    if top in sys.stdlib_module_names:
        raise UsageError(f"{said} cannot be imported: {top} is a standard-library module; rename yours")
    here, before = str(Path.cwd()), list(sys.path)
    if here not in before:
        sys.path.insert(0, here)
    try:
        with redirect_stdout(sys.stderr):
            found = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # a user's module may raise anything
        if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
            raise UsageError(
                f"{said} cannot be imported ({first_line(error)}); Python looks in the current directory and in "
                "PYTHONPATH"
            ) from None
        raise CollagebenchError(f"{said}: importing it failed ({_why(error, module)})") from error
    finally:
        if here not in before:  # it stays for later imports, but after Python's own modules
            sys.path[:] = [*(place for place in sys.path if place != here), here]
    try:
        return getattr(found, name)
    except AttributeError as error:
        file = getattr(found, "__file__", None)
        place = f"; the module is {file}" if file else ""  # perhaps not the one that was meant
        raise UsageError(f"{said} cannot be imported ({first_line(error)}){place}") from None
    except Exception as error:  # a module may have a `__getattr__` of its own
        raise CollagebenchError(f"{said}: importing it failed ({_why(error, module)})") from error


def files_of_module(name: str) -> frozenset[Path]:
    """Return the files of an imported module, or of its whole package, and of the modules beside it that they import.

    The imports of an installed package are not included.
    """
    top = sys.modules.get(name.partition(".")[0])
    file = getattr(top, "__file__", None)
    return _files_from(*(Path(place).resolve() for place in getattr(top, "__path__", [file] if file else [])))


@cache
def _files_from(*units: Path) -> frozenset[Path]:
    """Return the files of these modules or packages; see `files_of_module`."""
    todo, found = [*units], set[Path]()
    while todo:
        unit = todo.pop()
        for path in _python_below(unit) - found if unit.is_dir() else {unit} - found:
            found.add(path)
            for beside in [] if unit.parent.name in INSTALLED else _imports(path):
                todo += [place for place in (unit.parent / beside, unit.parent / f"{beside}.py") if place.exists()]
    return frozenset(found)


def _python_below(directory: Path) -> set[Path]:
    """Return the Python files in a directory tree, without those of a virtual environment in it."""
    return {path for path in directory.rglob("*.py") if not {*INSTALLED} & {*path.relative_to(directory).parts}}


def _imports(path: Path) -> Iterator[str]:
    """Yield the top-level names that a file imports, without collagebench and without relative imports.

    It finds import statements anywhere in the file, and calls of CALLED with a literal name.
    """
    try:
        nodes = list(ast.walk(ast.parse(ordinary(path).read_bytes())))
    except (OSError, SyntaxError, ValueError):  # not valid Python, so never imported
        return
    for node in nodes:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        names += _called(node) if isinstance(node, ast.Call) else []
        firsts = {name.partition(".")[0] for name in names} - {__name__.partition(".")[0]}
        yield from filter(str.isidentifier, firsts)  # a call may name anything, such as a module of its own package


def _called(node: ast.Call) -> list[str]:
    """Return the module that a call imports, if it is a call of a function that does and its name is written out."""
    function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
    given = [*node.args[:1], *(keyword.value for keyword in node.keywords if keyword.arg == "name")]
    texts = [one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return texts if function in CALLED else []


def _why(error: BaseException, module: str) -> str:
    """Return the type, the message and the place of an error in a module, in one line."""
    what = f"{type(error).__name__}: {first_line(error)}"
    steps = traceback.extract_tb(error.__traceback__)
    inside = [step for step in steps if step.filename not in (__file__, importlib.__file__) and step.filename[0] != "<"]
    if inside:
        return f"{what}, in {Path(inside[-1].filename).name}, line {inside[-1].lineno}"
    try:  # a source with a null character is refused without the file's name
        spec = None if getattr(error, "filename", None) else importlib.util.find_spec(module)
    except Exception:
        spec = None
    return f"{what}, in {Path(spec.origin).name}" if spec and spec.origin else what
