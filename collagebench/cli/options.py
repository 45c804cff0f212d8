"""The options that several verbs have, those of an experiment by the sections of their help (see `resolve`)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

import click

from collagebench.cli.completion import complete_profiles, complete_schemes, complete_stragglers
from collagebench.config import ANSWERS
from collagebench.errors import UsageError
from collagebench.fleet.where import FLEETS
from collagebench.schemes import SCHEMES
from collagebench.stragglers.causes import NATURAL
from collagebench.stragglers.model import NAMES
from collagebench.study.grid import several
from collagebench.workload.dataset import NAMES as DATASETS

Function = TypeVar("Function", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)
NATURAL_OPTIONS = f"Natural stragglers (--stragglers {', '.join(NATURAL)})"
"""The section of what only real workers can suffer."""
LOADS = ("rate", "utilisation")
"""Options that say the same thing: how much is to be borne."""


may_download = click.option("--download", is_flag=True, help="Fetch cifar10, cifar100 or fashion-mnist if missing.")
side_by_side = click.option(
    "--jobs",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Processes that simulate side by side. [0: one a core]",
)
table_or_json = click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", help="What is printed. [table]"
)


def seconds_or_word(text: str) -> str | float:
    """Read a number as such; what else it may be is for the scheme to judge."""
    try:
        return float(text)
    except ValueError:
        return text


class Several(click.ParamType):  # type: ignore[type-arg, unused-ignore] # generic in newer versions of click
    """One value of a kind, or several with commas between them, which become a tuple."""

    def __init__(self, kind: Any) -> None:
        self._kind = click.types.convert_type(kind)
        self.name = self._kind.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value, or a tuple of values."""
        if not isinstance(value, str) or "," not in value or os.path.isfile(value):
            try:
                return self._kind.convert(value, param, ctx)
            except click.BadParameter as error:
                self.fail(f"{error.message.rstrip('.')}; several have commas between them, as in 1,2,3", param, ctx)
        said = str(param.opts[0] if param else self.name)
        found = [self._one(text.strip(), said, param, ctx) for text in value.split(",")]
        return several(found, said)

    def _one(self, text: str, said: str, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not text:
            raise UsageError(f"{said} has a comma with nothing before or behind it")
        return self._kind.convert(text, param, ctx)


INT, FLOAT, TEXT = Several(int), Several(float), Several(str)


def _flat(context: click.Context, parameter: click.Parameter, names: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(name for part in names for name in (part if isinstance(part, tuple) else (part,)))


def number_of_answers(text: str) -> int:
    """Read a number, `all` or `none`."""
    try:
        return ANSWERS[text] if text in ANSWERS else int(text)
    except ValueError:
        raise UsageError(f"--accuracy is all, none or a number of answers from 0 up, not {text!r}") from None


SECTIONS = {
    "Experiment": [
        click.option(
            "--profile",
            metavar="NAME|FILE",
            shell_complete=complete_profiles,
            help="A named experiment, or a TOML file with one.",
        ),
        click.option(
            "--scheme",
            "schemes",
            type=TEXT,
            multiple=True,
            callback=_flat,
            metavar="S",
            shell_complete=complete_schemes,
            help=f"One of {', '.join(SCHEMES)}, or module:Class for one of yours; several with commas between them; "
            "repeatable.",
        ),
        click.option("--workers", type=INT, help="Workers, the same number for every scheme. [10]"),
        click.option("--requests", type=INT, help="Requests in each run. [250]"),
        click.option("--runs", type=INT, help="Independent runs; every scheme meets each of them. [10]"),
        click.option("--warmup", type=FLOAT, help="Share of a run's first requests left out of statistics. [0.05]"),
        click.option("--seed", type=INT, help="Fixes arrivals, images, slowdowns and routing. [0]"),
        click.option("--out", type=PATH, help="The run directory. [runs/ and the time]"),
        click.option("--resume", is_flag=True, help="Go on with the run in --out; its options need not be repeated."),
    ],
    "Load": [
        click.option("--arrivals", type=TEXT, help="poisson or constant. [poisson]"),
        click.option("--rate", type=FLOAT, help="Requests a second."),
        click.option("--utilisation", type=FLOAT, help="The rate as a load: rate x service time / workers. [0.5]"),
        click.option("--deadline", type=FLOAT, help="Seconds until a task without a reply is given up. [10]"),
    ],
    "Stragglers": [
        click.option(
            "--stragglers",
            type=TEXT,
            metavar="NAME|FILE",
            shell_complete=complete_stragglers,
            help=f"A recorded profile, or {', '.join(name for name in NAMES if name not in NATURAL)}. [collage-trace]",
        ),
        click.option(
            "--time-scale", type=FLOAT, help="Multiplies the stragglers' seconds. [0.2; a trace, a recorded profile: 1]"
        ),
        click.option(
            "--straggler-mode", type=TEXT, help="A draw is a floor, something to add, or a factor (scale). [floor]"
        ),
        click.option(
            "--persistence",
            type=FLOAT,
            help="Mean seconds that a worker stays slow. [0: each task alone; markov: 1; recorded: as it was]",
        ),
        click.option(
            "--slow-share",
            type=FLOAT,
            help="Share of time, or of tasks, that is slow. [0.05; markov: 0.1; collage-trace: 0.02, what "
            "is above 0.4 s; collage-machines: 0.0065]",
        ),
        click.option("--slow-factor", type=FLOAT, help="How many times as long slow ones take. [5; bimodal: 10]"),
        click.option("--slow-workers", type=INT, help="How many workers are slow. [1]"),
        click.option("--slow-place", type=TEXT, help="The slow machine: anywhere, first, last or none. [anywhere]"),
        click.option(
            "--base",
            type=FLOAT,
            help="none, bimodal, markov, erasure, crash: seconds of a task not slow. [0.1; none: 0]",
        ),
        click.option("--shift", type=FLOAT, help="shifted-exponential: the least seconds. [0.1]"),
        click.option("--tail", type=FLOAT, help="shifted-exponential: mean seconds beyond them. [0.1]"),
        click.option("--scale", type=FLOAT, help="pareto: the least seconds. [0.1]"),
        click.option("--shape", type=FLOAT, help="pareto: its exponent. [1.5]"),
        click.option("--median", type=FLOAT, help="lognormal, structured: median seconds. [0.1; 0.1367]"),
        click.option("--sigma", type=FLOAT, help="lognormal, bimodal, markov: spread of the logarithm. [0.5; else 0]"),
        click.option(
            "--machine-sigma", type=FLOAT, help="structured: spread of the logarithm of the machines' factors. [0.202]"
        ),
        click.option(
            "--request-sigma", type=FLOAT, help="structured: spread of the logarithm of the requests' factors. [0.103]"
        ),
        click.option("--excursion-share", type=FLOAT, help="structured: share of excursions. [0.0065]"),
        click.option(
            "--excursion-factor", type=FLOAT, help="structured: an excursion takes so many times as long. [1.83]"
        ),
        click.option("--slow-machines", type=FLOAT, help="structured: share of machines slow throughout. [0.02]"),
        click.option("--slow-machine", type=FLOAT, help="structured: seconds of a slow machine. [0.702]"),
        click.option("--trace", type=PATH, metavar="FILE", help="trace: seconds, one a line, or machine,seconds."),
        click.option("--replay", type=TEXT, help="trace: iid, block, per-machine or sequential. [iid]"),
        click.option("--block", type=INT, help="trace: values in a block. [50]"),
        click.option("--log-length", type=INT, help="trace: values of each machine. [one machine]"),
        click.option("--drop-share", type=FLOAT, help="erasure: share of replies that are lost. [0.02]"),
        click.option("--crash-every", type=FLOAT, help="crash: mean seconds between a worker's crashes. [10]"),
        click.option("--restart-after", type=FLOAT, help="crash: seconds until it is started again. [0.5]"),
    ],
    NATURAL_OPTIONS: [
        click.option("--stop-every", type=FLOAT, help="stop: mean seconds from one stop to the next. [2]"),
        click.option("--stop-for", type=FLOAT, help="stop: seconds that a worker is stopped. [0.3]"),
        click.option("--load", type=TEXT, help="corunner: cpu, cache or memory. [cpu]"),
        click.option("--quota", type=FLOAT, help="throttle: share of a core that a worker gets. [0.25]"),
        click.option("--transfers", type=INT, help="traffic: transfers at once for each slow worker. [2]"),
        click.option("--transfer-mb", type=FLOAT, help="traffic: megabytes of each. [128]"),
    ],
    "Images and models": [
        click.option("--dataset", type=TEXT, help=f"{', '.join(DATASETS)}. [shapes, which is generated]"),
        click.option(
            "--data", type=PATH, help="Where they are; imagefolder: one folder per class. [~/.cache/collagebench]"
        ),
        click.option(
            "--download", is_flag=True, default=None, help="Fetch cifar10, cifar100 or fashion-mnist if missing."
        ),
        click.option("--models", type=PATH, help="A directory of exported models. [the shipped ones]"),
        click.option("--precision", type=TEXT, help="Of the models: float32 or int8. [float32 where there are both]"),
        click.option(
            "--compute-time",
            type=FLOAT,
            help="Seconds of one inference of the single, for simulate and --compute emulated. [measured]",
        ),
        click.option(
            "--accuracy",
            type=number_of_answers,
            metavar="all|none|N",
            help="Answers of each run to classify where no worker computes: all, none or a number. [50000]",
        ),
    ],
    "Report": [
        table_or_json,
        click.option(
            "--slo", "slo_ms", type=float, metavar="MS", help="Also say how many right answers a second are this fast."
        ),
        click.option(
            "--fail-if",
            multiple=True,
            metavar="GATE",
            help="Exit with 3 if so, as in 'collage.p99 > 0.3': see `report --help`; repeatable.",
        ),
        click.option("--verbose", is_flag=True, help="Say a line on stderr for each finished scheme and run."),
    ],
    "Schemes that copy": [
        click.option("--spare", type=INT, help="none: workers it leaves out. [0]"),
        click.option("--replicas", type=INT, help="replication: copies of each request. [2]"),
        click.option(
            "--hedge-delay",
            type=TEXT,
            metavar="S|pN|fit",
            help="hedge, hedge-idle: seconds or a running percentile; hedge: or fit. [p95; 0]",
        ),
        click.option(
            "--hedge-queue",
            type=TEXT,
            metavar="WHERE",
            help="hedge-idle: one queue, central, before all workers, or one at each of the workers. [central]",
        ),
        click.option("--hedge-budget", type=FLOAT, help="hedge: share of requests that may be copied. [no limit]"),
        click.option("--hedge-probability", type=FLOAT, help="hedge: share of late requests to copy. [1]"),
        click.option("--hedge-log", metavar="RUN", help="hedge: the run that --hedge-delay fit is fitted to."),
        click.option(
            "--reissue-after",
            type=Several(seconds_or_word),
            metavar="S|pN",
            help="When a late single is sent again. [never; with --flush auto: p99; reissue: p95]",
        ),
        click.option("--retries", type=INT, help="reissue: how often a late request is sent again. [1]"),
        click.option("--default-after", type=FLOAT, help="default: seconds until the default answer. [0.1]"),
    ],
    "Schemes with groups": [
        click.option(
            "--flush",
            type=TEXT,
            help="Schemes with groups: wait, idle, deadline or auto. [collage, backup: auto; else wait]",
        ),
        click.option(
            "--flush-after",
            type=FLOAT,
            help="Seconds a group waits at most (deadline) or at least (idle). [0.1; idle: 0]",
        ),
        click.option(
            "--hold",
            type=Several(seconds_or_word),
            metavar="S|pN|auto",
            help="collage, parity: when a group may answer at the earliest. [auto with --flush auto; else 0]",
        ),
        click.option(
            "--reject",
            type=FLOAT,
            help="collage, backup: share of requests whose unsure group answers go unused. [auto: 0.005; else 0]",
        ),
        click.option("--grid", type=INT, help="collage: images along one side. [3]"),
        click.option("--head", type=TEXT, help="collage: of its model, grid or detection. [grid]"),
        click.option("--collage-workers", type=INT, help="collage: workers that serve collages. [1]"),
        click.option("--backup-batch", type=INT, help="backup: images that one backup task takes. [9]"),
        click.option(
            "--backup-after",
            type=Several(seconds_or_word),
            metavar="S|pN|auto",
            help="backup: when a backup may answer at the earliest. [auto with --flush auto; else 0]",
        ),
        click.option("--backup-workers", type=INT, help="backup: workers that serve backups. [1]"),
        click.option("--parity-k", type=INT, help="parity: requests in a group. [2]"),
        click.option("--parity-code", type=TEXT, help="parity: addition or concatenation. [addition]"),
        click.option("--parity-workers", type=INT, help="parity: workers that serve parities. [1 of every k + 1]"),
        click.option("--coded-k", type=INT, help="approxifer, nercc: requests in a group. [8]"),
        click.option("--coded-s", type=INT, help="approxifer, nercc: coded images more than requests. [1]"),
        click.option(
            "--coded-after",
            type=FLOAT,
            help="nercc: seconds after which a group is answered from the replies there are. [never]",
        ),
        click.option("--smooth-encode", type=FLOAT, help="nercc: how much the encoder smooths. [3e-5]"),
        click.option("--smooth-decode", type=FLOAT, help="nercc: how much the decoder smooths. [1e-4]"),
    ],
}

FLEET = [
    click.option("--fleet", type=click.Choice(list(FLEETS)), help="Where workers run. [local]"),
    click.option(
        "--host",
        multiple=True,
        metavar="H",
        help="ssh: a host, user@name:port, or a name of ~/.ssh/config; repeatable.",
    ),
    click.option(
        "--hosts", type=PATH, metavar="FILE", help="ssh: a file of hosts, one a line, with workers=N if given."
    ),
    click.option("--remote-python", metavar="PATH", help="ssh: the interpreter on the hosts. [python3]"),
    click.option(
        "--bootstrap", is_flag=True, default=None, help="ssh: install what a host's Python lacks, apart from it."
    ),
    click.option(
        "--endpoint",
        multiple=True,
        metavar="URL",
        help="endpoint: a server that runs, grpc://host:port/model, or grpcs:// for TLS; repeatable.",
    ),
    click.option(
        "--tls-ca", type=PATH, metavar="FILE", help="endpoint: who vouches for it. [the system's authorities]"
    ),
    click.option("--tls-cert", type=PATH, metavar="FILE", help="endpoint: this client's certificate, with --tls-key."),
    click.option("--tls-key", type=PATH, metavar="FILE", help="endpoint: the private key of that certificate."),
    click.option(
        "--token-file", type=PATH, metavar="FILE", help="endpoint: a bearer token. [the variable COLLAGEBENCH_TOKEN]"
    ),
    click.option(
        "--pixel-scale", type=float, metavar="F", help="endpoint: a model that takes FP32 gets pixels times F."
    ),
    click.option("--ray-address", metavar="A", help="ray: the cluster, auto, host:port or ray://host:port. [auto]"),
    click.option("--ray-cpus", type=float, metavar="N", help="ray: what each worker reserves. [1]"),
    click.option(
        "--ray-resource",
        type=(str, float),
        multiple=True,
        metavar="NAME N",
        help="ray: and how much of a resource that the cluster has given a name; repeatable.",
    ),
    click.option("--ray-placement", metavar="P", help="ray: spread, pack or strict-spread. [spread]"),
]
"""The options of those verbs that need real workers."""


def fleet_options(function: Function) -> Function:
    """Give a command the options that say where workers run."""
    return _with(function, FLEET)


def experiment_options(function: Function) -> Function:
    """Give a command the options of an experiment."""
    return section_options(*SECTIONS)(function)


def section_options(*titles: str, without: Collection[str] = ()) -> Callable[[Function], Function]:
    """Return what gives a command the options of some sections, but for those whose parameters are named."""
    return lambda function: _with(function, [add for title in titles for add in SECTIONS[title]], without)


def _with(function: Function, options: list[Callable[[Any], Any]], without: Collection[str] = ()) -> Function:
    for add in reversed([add for add in options if parameter(add) not in without]):
        function = add(function)
    return function


def parameter(option: Callable[..., Any]) -> str:
    """Return the name of the parameter that a decorator adds."""
    return str(option(lambda: None).__click_params__[0].name)


class SectionedCommand(click.Command):
    """A command whose help lists its options by section.

    `sections` names the parameters below each title. All others, and those in `its`, which mean something else here,
    stand in the section `own`: its title, and whether it stands first.
    """

    sections: tuple[tuple[str, tuple[str, ...]], ...] = ()
    own = ("Other options", False)
    its: tuple[str, ...] = ()

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write every option below the title of its section."""
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        left = {option.name: _shown(record) for option in options if (record := option.get_help_record(ctx))}
        sections = {
            title: [left.pop(name) for name in names if name in left and name not in self.its]
            for title, names in self.sections
        }
        title, is_first = self.own
        own = {title: list(left.values())}
        for title, records in {**own, **sections}.items() if is_first else {**sections, **own}.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def _shown(record: tuple[str, str]) -> tuple[str, str]:
    """Return an option's name and its help with the default as all of them have it, [10], and no range beside it."""
    name, said = record
    said = re.sub(r"\s+\[x>=\d+\]$", "", said)
    return name, re.sub(r"\s+\[default: (.*?)(?:; x>=\d+)?\]$", r" [\1]", said)


class ExperimentCommand(SectionedCommand):
    """A command that has options of an experiment."""

    sections = tuple(
        (title, tuple(map(parameter, options)))
        for title, options in ({"Experiment": SECTIONS["Experiment"], "Fleet": FLEET} | SECTIONS).items()
    )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments; where one stands alone, say how several values are written."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if "extra argument" in error.message:
                hint = "several values of an option have commas between them, as in 0.1,0.3"
                raise click.UsageError(f"{error.message.rstrip('.')}: {hint}", ctx) from None
            raise
