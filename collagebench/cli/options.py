"""Options that several verbs share; those of an experiment are grouped by section of the help (see `resolve`)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

import click

from collagebench.cli.completion import complete_arrivals, complete_profiles, complete_schemes, complete_stragglers
from collagebench.cli.sectioned import SectionedCommand
from collagebench.cli.values import FLOAT, INT, TEXT, Several, flat, number_of_answers, seconds_or_word
from collagebench.fleet.where import FLEETS
from collagebench.schemes import SCHEMES
from collagebench.stragglers.causes import NATURAL
from collagebench.stragglers.model import NAMES
from collagebench.workload.dataset import NAMES as DATASETS

Function = TypeVar("Function", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)
NATURAL_OPTIONS = f"Natural stragglers (--stragglers {', '.join(NATURAL)})"
"""Title of the section for disturbances that only real workers can suffer."""
LOADS = ("rate", "utilisation")
"""Two ways to state the load; only one of them may be given."""


data_directory = click.option(
    "--data", type=PATH, help="Directory of the images; imagefolder: one folder per class. [~/.cache/collagebench]"
)
models_directory = click.option("--models", type=PATH, help="Directory of exported models. [the bundled ones]")
USUAL_DATASET = "shapes, generated; with --data: imagefolder"
may_download = click.option("--download", is_flag=True, help="Download cifar10, cifar100 or fashion-mnist if missing.")
side_by_side = click.option(
    "--jobs",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Simulation processes to run in parallel. [0: one per core]",
)
table_or_json = click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", help="Output format. [table]"
)


SECTIONS = {
    "Experiment": [
        click.option(
            "--profile",
            metavar="NAME|FILE",
            shell_complete=complete_profiles,
            help="A named experiment, or a TOML file that describes one.",
        ),
        click.option(
            "--scheme",
            "schemes",
            type=TEXT,
            multiple=True,
            callback=flat,
            metavar="S",
            shell_complete=complete_schemes,
            help=f"One of {', '.join(SCHEMES)}, or your own as module:Class; several separated by commas; repeatable.",
        ),
        click.option("--workers", type=INT, help="Number of workers, the same for every scheme. [10]"),
        click.option("--requests", type=INT, help="Requests per run. [250]"),
        click.option("--runs", type=INT, help="Independent runs, the same ones for every scheme. [10]"),
        click.option(
            "--warmup", type=FLOAT, help="Share of requests at the start of each run to leave out of statistics. [0.05]"
        ),
        click.option("--seed", type=INT, help="Seed of arrivals, images, slowdowns and routing. [0]"),
        click.option("--out", type=PATH, help="The run directory. [a new one in runs/]"),
        click.option(
            "--resume",
            is_flag=True,
            help="Continue the run in --out, perhaps with more --runs; no option need be repeated.",
        ),
    ],
    "Load": [
        click.option(
            "--arrivals",
            type=TEXT,
            metavar="NAME|FILE",
            shell_complete=complete_arrivals,
            help="poisson, constant, bursts, or a log of arrival times: .npy, or text or CSV with seconds or dates. "
            "[poisson]",
        ),
        click.option("--burst-factor", type=FLOAT, help="bursts: rate in a burst / rate between bursts. [5]"),
        click.option("--burst-share", type=FLOAT, help="bursts: share of the time. [0.2]"),
        click.option("--burst-for", type=FLOAT, help="bursts: mean seconds of a burst. [2]"),
        click.option("--rate", type=FLOAT, help="Requests per second. [a log's own rate]"),
        click.option(
            "--utilisation", type=FLOAT, help="Load, in place of --rate: rate x service time / workers. [0.5]"
        ),
        click.option("--deadline", type=FLOAT, help="Seconds after which a task without a reply is given up. [10]"),
    ],
    "Stragglers": [
        click.option(
            "--stragglers",
            type=TEXT,
            metavar="NAME|FILE",
            shell_complete=complete_stragglers,
            help=f"A recorded profile, or {', '.join(name for name in NAMES if name not in NATURAL)}. [collage-trace]",
        ),
        click.option("--time-scale", type=FLOAT, help="Multiplies drawn seconds. [0.2; trace or recorded profile: 1]"),
        click.option(
            "--straggler-mode", type=TEXT, help="What a draw does to the service time: floor, add or scale. [floor]"
        ),
        click.option(
            "--persistence",
            type=FLOAT,
            help="Mean seconds that a worker stays slow. [0: tasks are independent; markov: 1; recorded: as it was]",
        ),
        click.option(
            "--slow-share",
            type=FLOAT,
            help="Share of time, or of tasks, that is slow. [0.05; markov: 0.1; collage-trace: 0.02, "
            "the part above 0.4 s; collage-machines: 0.0065]",
        ),
        click.option("--slow-factor", type=FLOAT, help="Slowdown factor of slow tasks or workers. [5; bimodal: 10]"),
        click.option("--slow-workers", type=INT, help="Number of slow workers. [1]"),
        click.option(
            "--slow-place",
            type=TEXT,
            help="Worker that gets the slow machine: anywhere, first, last or none. [anywhere]",
        ),
        click.option(
            "--base",
            type=FLOAT,
            help="none, bimodal, markov, erasure, crash: seconds of a task that is not slow. [0.1; none: 0]",
        ),
        click.option("--shift", type=FLOAT, help="shifted-exponential: minimum seconds. [0.1]"),
        click.option("--tail", type=FLOAT, help="shifted-exponential: mean seconds above the minimum. [0.1]"),
        click.option("--scale", type=FLOAT, help="pareto: minimum seconds. [0.1]"),
        click.option("--shape", type=FLOAT, help="pareto: exponent. [1.5]"),
        click.option("--median", type=FLOAT, help="lognormal, structured: median seconds. [0.1; 0.1367]"),
        click.option(
            "--sigma",
            type=FLOAT,
            help="lognormal, bimodal, markov: standard deviation of the logarithm. [lognormal: 0.5; else 0]",
        ),
        click.option("--machine-sigma", type=FLOAT, help="structured: sigma of the machines' factors. [0.202]"),
        click.option("--request-sigma", type=FLOAT, help="structured: sigma of the requests' factors. [0.103]"),
        click.option("--excursion-share", type=FLOAT, help="structured: share of excursions. [0.0065]"),
        click.option("--excursion-factor", type=FLOAT, help="structured: slowdown factor of an excursion. [1.83]"),
        click.option("--slow-machines", type=FLOAT, help="structured: share of machines that are always slow. [0.02]"),
        click.option("--slow-machine", type=FLOAT, help="structured: seconds of a slow machine. [0.702]"),
        click.option(
            "--trace",
            type=PATH,
            metavar="FILE",
            help="trace: .npy, or text with seconds or machine,seconds on each line.",
        ),
        click.option(
            "--replay", type=TEXT, help="trace: what to keep of the order: iid, block, per-machine or sequential. [iid]"
        ),
        click.option("--block", type=INT, help="trace: values per block. [50]"),
        click.option("--log-length", type=INT, help="trace: values per machine, if the file names none. [one machine]"),
        click.option("--drop-share", type=FLOAT, help="erasure: share of replies that are lost. [0.02]"),
        click.option(
            "--crash-every", type=FLOAT, help="crash: mean seconds from one crash of a worker to the next. [10]"
        ),
        click.option("--restart-after", type=FLOAT, help="crash: seconds until a crashed worker is restarted. [0.5]"),
    ],
    NATURAL_OPTIONS: [
        click.option("--stop-every", type=FLOAT, help="stop: mean seconds from the end of a stop to the next. [2]"),
        click.option("--stop-for", type=FLOAT, help="stop: seconds that each stop lasts. [0.3]"),
        click.option("--load", type=TEXT, help="corunner: what it loads: cpu, cache or memory. [cpu]"),
        click.option("--quota", type=FLOAT, help="throttle: share of a core that a worker gets. [0.25]"),
        click.option("--transfers", type=INT, help="traffic: concurrent transfers per slow worker. [2]"),
        click.option("--transfer-mb", type=FLOAT, help="traffic: megabytes per transfer. [128]"),
    ],
    "Images and models": [
        click.option("--dataset", type=TEXT, help=f"{', '.join(DATASETS)}. [{USUAL_DATASET}]"),
        data_directory,
        click.option(
            "--download", is_flag=True, default=None, help="Download cifar10, cifar100 or fashion-mnist if missing."
        ),
        models_directory,
        click.option(
            "--precision", type=TEXT, help="Precision of the models: float32 or int8. [float32 if there are both]"
        ),
        click.option(
            "--compute-time",
            type=FLOAT,
            help="Seconds per inference of the single, for simulate and --compute emulated. [measured]",
        ),
        click.option(
            "--accuracy",
            type=number_of_answers,
            metavar="all|none|N",
            help="Answers per run to classify if no worker computes: all, none or a number. [50000]",
        ),
    ],
    "Report": [
        table_or_json,
        click.option(
            "--slo",
            "slo_ms",
            type=float,
            metavar="MS",
            help="Also report the right answers per second that are this fast.",
        ),
        click.option(
            "--fail-if",
            multiple=True,
            metavar="GATE",
            help="Exit with 3 if GATE holds, as in 'collage.p99 > 0.3' (see `report --help`); repeatable.",
        ),
        click.option("--verbose", is_flag=True, help="Print a line on stderr for each finished scheme and run."),
    ],
    "Schemes that copy": [
        click.option("--spare", type=INT, help="none: workers to leave out. [0]"),
        click.option("--replicas", type=INT, help="replication: workers that get each request. [2]"),
        click.option(
            "--hedge-delay",
            type=TEXT,
            metavar="S|pN|fit",
            help="hedge, hedge-idle: wait before a copy: seconds or a running percentile; hedge: or fit. "
            "[p95; hedge-idle: 0]",
        ),
        click.option(
            "--hedge-queue",
            type=TEXT,
            metavar="WHERE",
            help="hedge-idle: central, one queue for all workers, or workers, one queue at each. [central]",
        ),
        click.option("--hedge-budget", type=FLOAT, help="hedge: share of requests that may be copied. [no limit]"),
        click.option("--hedge-probability", type=FLOAT, help="hedge: share of late requests to copy. [1]"),
        click.option("--hedge-log", metavar="RUN", help="hedge: recorded run for --hedge-delay fit."),
        click.option(
            "--reissue-after",
            type=Several(seconds_or_word),
            metavar="S|pN",
            help="Wait before a late request goes to another single. [never; with --flush auto: p99; reissue: p95]",
        ),
        click.option("--retries", type=INT, help="reissue: times that a late request is sent again. [1]"),
        click.option("--default-after", type=FLOAT, help="default: seconds until the default answer. [0.1]"),
    ],
    "Schemes with groups": [
        click.option(
            "--flush",
            type=TEXT,
            help="When a group is sent: wait, idle, deadline or auto. [collage, backup: auto; else wait]",
        ),
        click.option(
            "--flush-after",
            type=FLOAT,
            help="Seconds that a group waits at most (deadline) or at least (idle). [0.1; idle: 0]",
        ),
        click.option(
            "--hold",
            type=Several(seconds_or_word),
            metavar="S|pN|auto",
            help="collage, parity: wait after arrival before a group may answer. [auto with --flush auto; else 0]",
        ),
        click.option(
            "--reject",
            type=FLOAT,
            help="collage, backup: share of requests whose group answer is too uncertain to use. [auto: 0.005; else 0]",
        ),
        click.option("--grid", type=INT, help="collage: cells along one side. [3]"),
        click.option("--head", type=TEXT, help="collage: head of the model, grid or detection. [grid]"),
        click.option("--collage-workers", type=INT, help="collage: workers for the collage model. [1]"),
        click.option("--backup-batch", type=INT, help="backup: most images in one batch. [9]"),
        click.option(
            "--backup-after",
            type=Several(seconds_or_word),
            metavar="S|pN|auto",
            help="backup: wait after arrival before a backup may answer. [auto with --flush auto; else 0]",
        ),
        click.option("--backup-workers", type=INT, help="backup: workers for the backup model. [1]"),
        click.option("--parity-k", type=INT, help="parity: requests per group. [2]"),
        click.option("--parity-code", type=TEXT, help="parity: addition or concatenation. [addition]"),
        click.option("--parity-workers", type=INT, help="parity: workers for the parity model. [1 of every k + 1]"),
        click.option("--coded-k", type=INT, help="approxifer, nercc: requests per group. [8]"),
        click.option("--coded-s", type=INT, help="approxifer, nercc: extra coded images per group. [1]"),
        click.option(
            "--coded-after",
            type=FLOAT,
            help="nercc: seconds after which a group is answered from the replies so far. [never]",
        ),
        click.option("--smooth-encode", type=FLOAT, help="nercc: smoothing of the encoder. [3e-5]"),
        click.option("--smooth-decode", type=FLOAT, help="nercc: smoothing of the decoder. [1e-4]"),
    ],
}

FLEET = [
    click.option("--fleet", type=click.Choice(list(FLEETS)), help="Where the workers run. [local]"),
    click.option(
        "--host",
        multiple=True,
        metavar="H",
        help="ssh: a host, as user@name:port or an alias in ~/.ssh/config; repeatable.",
    ),
    click.option(
        "--hosts", type=PATH, metavar="FILE", help="ssh: a file of hosts, one per line, optionally with workers=N."
    ),
    click.option("--remote-python", metavar="PATH", help="ssh: Python interpreter on the hosts. [python3]"),
    click.option(
        "--bootstrap",
        is_flag=True,
        default=None,
        help="ssh: install missing packages on a host, in a separate environment.",
    ),
    click.option(
        "--endpoint",
        multiple=True,
        metavar="URL",
        help="endpoint: a running server, grpc://host:port/model, or grpcs:// for TLS; repeatable.",
    ),
    click.option("--tls-ca", type=PATH, metavar="FILE", help="endpoint: CA certificates to trust. [the system's]"),
    click.option("--tls-cert", type=PATH, metavar="FILE", help="endpoint: this client's certificate, with --tls-key."),
    click.option("--tls-key", type=PATH, metavar="FILE", help="endpoint: private key of that certificate."),
    click.option(
        "--token-file",
        type=PATH,
        metavar="FILE",
        help="endpoint: file with a bearer token. [the variable COLLAGEBENCH_TOKEN]",
    ),
    click.option(
        "--pixel-scale", type=float, metavar="F", help="endpoint: factor on the pixels for a model that takes FP32."
    ),
    click.option("--ray-address", metavar="A", help="ray: the cluster: auto, host:port or ray://host:port. [auto]"),
    click.option("--ray-cpus", type=float, metavar="N", help="ray: CPUs that each worker reserves. [1]"),
    click.option(
        "--ray-resource",
        type=(str, float),
        multiple=True,
        metavar="NAME N",
        help="ray: a named resource of the cluster, and how much of it each worker reserves; repeatable.",
    ),
    click.option(
        "--ray-placement", metavar="P", help="ray: placement of workers: spread, pack or strict-spread. [spread]"
    ),
]
"""Options of the verbs that need real workers."""


def fleet_options(function: Function) -> Function:
    """Give a command the options that say where workers run."""
    return _with(function, FLEET)


def experiment_options(function: Function) -> Function:
    """Give a command the options of an experiment."""
    return section_options(*SECTIONS)(function)


def section_options(*titles: str, without: Collection[str] = ()) -> Callable[[Function], Function]:
    """Return a decorator that adds the options of the named sections, except the parameters in `without`."""
    return lambda function: _with(function, [add for title in titles for add in SECTIONS[title]], without)


def _with(function: Function, options: list[Callable[[Any], Any]], without: Collection[str] = ()) -> Function:
    for add in reversed([add for add in options if parameter(add) not in without]):
        function = add(function)
    return function


def parameter(option: Callable[..., Any]) -> str:
    """Return the name of the parameter that a decorator adds."""
    return str(option(lambda: None).__click_params__[0].name)


class ExperimentCommand(SectionedCommand):
    """A command that takes the options of an experiment."""

    sections = tuple(
        (title, tuple(map(parameter, options)))
        for title, options in ({"Experiment": SECTIONS["Experiment"], "Fleet": FLEET} | SECTIONS).items()
    )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; after a stray one, add a hint on how to write several values."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if "extra argument" in error.message:
                hint = "separate several values of an option by commas, as in 0.1,0.3"
                raise click.UsageError(f"{error.message.rstrip('.')}: {hint}", ctx) from None
            raise
