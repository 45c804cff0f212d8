"""When a run's figures cannot be trusted, and when they can."""

from __future__ import annotations

import heapq

import numpy as np
import pytest
from command_line import exit_code
from synthetic_run import HEADER, cell, change_header, lognormal, make_run, request, task

from collagebench.results.reader import load
from collagebench.results.table import Table
from collagebench.results.writer import RunWriter
from collagebench.statistics.growth import dispersion, growing, growth
from collagebench.statistics.notes.sample import FLEETS, few_fleets
from collagebench.statistics.validity import judge
from collagebench.statistics.warnings import warnings

SCHEMES = [{"scheme": "none", "variant": "none", "allotment": {"single": 10}, "options": {}}]


def with_tasks(directory, **changes):
    """Return a run of 50 requests with these changes to its tasks."""
    writer = RunWriter(directory, {**HEADER, "schemes": SCHEMES})
    for number in range(50):
        writer.request(request(number=number))
        writer.task(task(number=number, **changes))
    writer.cell(cell(requests=50))
    writer.finish("done")
    writer.close()
    return load(directory)


def test_a_sound_run_is_valid(tmp_path):
    """Ten runs with an unsaturated fleet, a punctual client and correct delays have no reason and no warning."""
    run = load(make_run(tmp_path / "run", {"none": lognormal(1, 10, 100), "hedge": lognormal(2, 10, 100)}))
    assert judge(run) == []
    assert warnings(run) == []


def test_late_client(tmp_path):
    """A p99 of the dispatch lag above 5 % of the median latency is a reason, and one below is not."""
    late = load(make_run(tmp_path / "late", {"none": [[0.02] * 100]}, lag=0.00101))
    early = load(make_run(tmp_path / "early", {"none": [[0.02] * 100]}, lag=0.00099))
    (reason,) = judge(late)
    assert reason.startswith("the client handled requests late (")
    assert "none 1.01 ms, median latency 20.0 ms" in reason
    assert "lower --utilisation or --rate" in reason
    assert "host of this virtual machine" not in reason, "nothing is known of that"
    assert judge(early) == []


@pytest.mark.parametrize(("priority", "said"), [("normal", True), ("real-time", False), ("nice", False)])
def test_a_client_that_had_to_wait_for_others_may_go_first(tmp_path, priority, said):
    """The reason for a late client says how to get real-time priority if it has none."""
    make_run(tmp_path / "run", {"none": [[0.02] * 100]}, lag=0.00101, header={"client_priority": priority})
    (reason,) = judge(load(tmp_path / "run"))
    assert ("give it real-time priority" in reason) is said
    assert ("start it without nice" in reason) is (priority == "nice")
    assert "leave the client a core of its own" in reason


@pytest.mark.parametrize(("stragglers", "said"), [("collage-trace", True), ("none", False)])
def test_only_drawn_times_can_be_scaled(tmp_path, stragglers, said):
    """A late client is told to raise --time-scale only if stragglers are drawn, as otherwise it changes nothing."""
    header = {"config": {**HEADER["config"], "stragglers": stragglers}}
    (reason,) = judge(load(make_run(tmp_path / "run", {"none": [[0.02] * 100]}, lag=0.00101, header=header)))
    assert ("raise --time-scale" in reason) is said


@pytest.mark.parametrize(("stolen", "said"), [(0.02, True), (0.001, False)])
def test_a_host_that_took_the_time_is_named(tmp_path, stolen, said):
    """The reason for a late client says how much processor time the host took, if it took much."""
    make_run(tmp_path / "run", {"none": [[0.02] * 100]}, lag=0.00101, header={"stolen_share": stolen})
    (reason,) = judge(load(tmp_path / "run"))
    assert ("the host of this virtual machine took 2.0 % of its processor time meanwhile" in reason) is said
    assert "lower --utilisation or --rate" in reason


def test_lost_worker(tmp_path):
    """A worker lost in a cell is one reason that names it; the event is not repeated as another."""
    writer = RunWriter(tmp_path / "run", {**HEADER, "schemes": SCHEMES})
    writer.request(request())
    writer.cell(cell(lost_workers="worker 3 was killed by signal 9"))
    writer.event("worker lost", "worker 3 was killed by signal 9")
    writer.finish("done")
    writer.close()
    (reason,) = judge(load(tmp_path / "run"))
    assert reason == "none: lost in run 0: worker 3 was killed by signal 9; continue with --resume, or run it again"


def test_worker_lost_in_a_cell_that_never_ended(tmp_path):
    """The event of a lost worker alone is a reason as well."""
    writer = RunWriter(tmp_path / "run", {**HEADER, "schemes": SCHEMES})
    writer.request(request())
    writer.cell(cell())
    writer.event("worker lost", "worker 3 was killed by signal 9")
    writer.finish("done")
    writer.close()
    (reason,) = judge(load(tmp_path / "run"))
    assert reason == "lost: worker 3 was killed by signal 9; continue with --resume, or run it again"


@pytest.mark.parametrize(
    ("status", "facts", "words"),
    [
        ("interrupted", {}, "was interrupted"),
        ("failed", {"error": "no space"}, r"failed (no space)"),
        ("running", {}, "has not ended, or was killed"),
    ],
)
def test_unfinished_run(tmp_path, status, facts, words):
    """A run that was interrupted, failed or was killed is INVALID, and the reason says which of these."""
    change_header(make_run(tmp_path / "run", {"none": [[0.02] * 10]}), status=status, **facts)
    (reason,) = judge(load(tmp_path / "run"))
    assert words in reason


def test_a_run_that_a_scheme_of_ones_own_ended_is_not_continued(tmp_path):
    """A run that failed by a fault of the user's scheme is run again; one that failed otherwise may be continued."""
    schemes = [{"scheme": name, "variant": "none", "allotment": {"single": 10}} for name in ("quiet:Quiet", "none")]
    for place, (scheme, why, resumed) in enumerate(
        [(0, "the scheme Quiet answered request 7 twice", False), (0, "no space", True), (1, "the scheme X", True)]
    ):
        change_header(
            make_run(tmp_path / str(place), {"none": [[0.02] * 10]}),
            status="failed",
            error=why,
            schemes=[schemes[scheme]],
        )
        (reason,) = judge(load(tmp_path / str(place)))
        assert (why in reason, "--resume" in reason) == (True, resumed)


def test_nothing_complete(tmp_path):
    """A run without a complete cell is INVALID."""
    (reason,) = judge(load(make_run(tmp_path / "run", {"none": []})))
    assert "no scheme has a complete run" in reason


@pytest.mark.parametrize(
    ("wanted", "service", "valid"),
    [(0.1, 0.104, True), (0.1, 0.106, False), (0.1, 0.094, False), (0.004, 0.0049, True), (0.004, 0.0051, False)],
)
def test_injected_delays(tmp_path, wanted, service, valid):
    """A median service time that misses what was asked by more than 5 % and more than 1 ms is a reason."""
    assert (judge(with_tasks(tmp_path / "run", wanted_s=wanted, service=service)) == []) == valid


def test_warnings_are_no_reasons(tmp_path):
    """Too few requests, a single run, failures and other events are warnings, and the run stays valid."""
    directory = make_run(tmp_path / "run", {"none": [[0.02] * 99 + [None]], "hedge": []})
    change_header(directory, events=[{"kind": "warning", "message": "the disk was slow"}])
    run = load(directory)
    found = warnings(run)
    assert judge(run) == []
    assert [text for text in found if "the disk was slow" in text]
    assert [text for text in found if text.startswith("hedge: no complete run")]
    assert [text for text in found if text.startswith("none: 1 of 100 requests failed")]
    assert [text for text in found if "fewer than 368 requests" in text and "none 100" in text]
    assert [text for text in found if text.startswith("one run gives no interval (none)")]


def test_what_is_left_out_of_an_interrupted_run_is_said(tmp_path):
    """A cell with requests that never ended is named as left out."""
    for name, ended, said in (("part", 1, ["left out as incomplete: none run 1."]), ("whole", 2, [])):
        writer = RunWriter(tmp_path / name, {**HEADER, "schemes": SCHEMES})
        for run in range(2):
            for number in range(3):
                writer.request(request(run=run, number=number))
                writer.task(task(run=run, number=number))
            if run < ended:
                writer.cell(cell(run=run, requests=3))
        writer.finish("interrupted")
        writer.close()
        assert [text for text in warnings(load(tmp_path / name)) if "left out" in text] == said


def test_a_delay_as_long_as_a_service_is_worth_a_word(tmp_path):
    """A simulation warns if replies take exactly as long as a delay, because not all real ones would be in time."""
    fleet = "--stragglers erasure --compute-time 0.005 --time-scale 1 --workers 4 --rate 10 --requests 100 --runs 2"
    for delay, words in ((0.1, ["just before its --hedge-delay of 100 ms"]), (0.15, []), (0.09, [])):
        place = tmp_path / str(delay)
        assert exit_code(*f"simulate --scheme hedge --hedge-delay {delay} {fleet} --out {place}".split()) == 0
        found = [text for text in warnings(load(place)) if "usual service time" in text]
        assert [word in text for word, text in zip(words, found, strict=True)] == [True] * len(words)


@pytest.mark.parametrize(
    ("changes", "said"),
    [({}, True), ({"source": "hedge"}, False), ({"warmup": True}, False)],
    ids=["own", "copies", "warm-up"],
)
def test_only_answers_of_its_own_come_just_before_a_delay(tmp_path, changes, said):
    """The warning about replies just before a delay ignores answers of copies and of the warm-up."""
    options = {"scheme": "hedge", "variant": "hedge", "allotment": {"single": 10}, "options": {"hedge_delay": 0.1}}
    run = load(
        make_run(
            tmp_path / "run",
            {"hedge": [[0.099] * 400] * 2},
            header={"engine": "simulated", "schemes": [options]},
            **changes,
        )
    )
    assert any("just before its --hedge-delay of 100 ms" in text for text in warnings(run)) is said


def test_the_share_just_before_a_delay_is_that_of_all_answers(tmp_path):
    """Of 800 answers, half of them by copies, 200 come just before the delay: 25 %, which the note says."""
    options = {"scheme": "hedge", "variant": "hedge", "allotment": {"single": 10}, "options": {"hedge_delay": 0.1}}
    header = {**HEADER, "engine": "simulated", "schemes": [options]}
    writer = RunWriter(tmp_path / "run", header)
    for number in range(800):
        source, latency = ("own", 0.099 if number < 200 else 0.05) if number < 400 else ("hedge", 0.15)
        writer.request(request(scheme="hedge", number=number, latency=latency, source=source))
        writer.task(task(scheme="hedge", number=number))
    writer.cell(cell(scheme="hedge", requests=800))
    writer.finish("done")
    writer.close()
    (said,) = [text for text in warnings(load(tmp_path / "run")) if "just before its" in text]
    assert said.startswith("hedge: 25 % of its answers arrive just before its --hedge-delay of 100 ms")


@pytest.mark.parametrize(("copies", "said"), [(10, False), (12, True)])
def test_a_fitted_hedge_that_copies_more_than_its_budget_is_worth_a_word(tmp_path, copies, said):
    """The note gives the share of requests that were copied and the budget, if they differ by more than a tenth."""
    given = {"hedge_delay": "fit", "hedge_budget": 0.1, "hedge_log": "log"}
    config = {**HEADER["config"], "schemes": [{"name": "hedge", "variant": "hedge", "options": given}]}
    schemes = [{"scheme": "hedge", "variant": "hedge", "allotment": {"single": 10}, "options": {"hedge_delay": 0.1}}]
    writer = RunWriter(tmp_path / "run", {**HEADER, "config": config, "schemes": schemes})
    for number in range(100):
        writer.request(request(scheme="hedge", number=number))
        writer.task(task(scheme="hedge", number=number))
    for number in range(copies):
        writer.task(task(scheme="hedge", number=100 + number, requests=str(number), attempt=1))
    writer.cell(cell(scheme="hedge", requests=100))
    writer.finish("done")
    writer.close()
    notes = [text for text in warnings(load(tmp_path / "run")) if "--hedge-budget" in text]
    words = "hedge: 12 % of its requests were copied, for a --hedge-budget of 10 %"
    assert [text.startswith(words) for text in notes] == ([True] if said else [])


def test_a_delay_beyond_the_deadline_is_worth_a_word(tmp_path):
    """A delay beyond the deadline never expires, which a warning says: perhaps milliseconds were meant."""
    header = {
        "config": {"deadline": 10.0},
        "schemes": [{"scheme": "hedge", "variant": "hedge", "allotment": {"single": 10}, "options": {}}],
    }
    run = load(make_run(tmp_path / "run", {"hedge": lognormal(1, 10, 100)}, header=header))
    for delay, words in ((50, 1), ("50", 1), ("p95", 0), (9.9, 0)):
        run.header["schemes"][0]["options"] = {"hedge_delay": delay}
        assert sum("--hedge-delay of 50 s never expires" in text for text in warnings(run)) == words
    run.header["schemes"][0] |= {"scheme": "collage", "options": {"hold": 50}}
    assert sum("--hold of 50 s never expires" in text for text in warnings(run)) == 1


def test_a_percentile_that_came_too_late_for_many_is_worth_a_word(tmp_path):
    """A warning gives the share of requests that arrived before a percentile was known, if it is large.

    At a request a second, the 20th reply of 150 ms is there for the 21st request: late in a run of 100, 5 of them
    warm-up, but not in one of 400; one of 25 s is never there. A delay in seconds is known from the start.
    """
    for requests, seconds, share in ((100, 0.15, 16), (400, 0.15, None), (30, 25.0, 100)):
        header = {"schemes": [{"scheme": "hedge", "variant": "hedge", "allotment": {"single": 10}, "options": {}}]}
        latencies = {"hedge": [[seconds] * requests] * 2}
        run = load(make_run(tmp_path / f"{requests}", latencies, header=header))
        run.requests["warmup"][:] = run.requests["request"] < requests // 20
        for delay in ("p95", 0.2):
            run.header["schemes"][0]["options"] = {"hedge_delay": delay}
            found = [text for text in warnings(run) if "which takes 20 replies" in text]
            assert len(found) == (share is not None and delay == "p95")
            assert all(
                f"hedge: {share} % of its requests arrived before its --hedge-delay was known" in text for text in found
            )


def test_machines_that_are_drawn_for_a_run_want_many_runs(tmp_path):
    """A warning asks for more runs if the slow machines are drawn for each run, and there are fewer than forty runs."""
    run = load(make_run(tmp_path / "run", {"none": lognormal(1, 10, 100)}))
    for parameters, few in (
        ({"slow_place": "anywhere"}, True),
        ({"slow_place": "first"}, False),
        ({"replay": "per-machine"}, True),
        ({"replay": "sequential"}, True),
        ({"replay": "block"}, False),
        ({"slow_place": "anywhere", "slow_machines": 0}, False),
    ):
        run.header["stragglers"] = {"parameters": parameters}
        found = [text for text in warnings(run) if text.startswith("which machines are slow is drawn")]
        assert len(found) == few
        assert all(("--slow-place" in text) is ("slow_place" in parameters) for text in found)
        assert few_fleets({"parameters": parameters}, 10, FLEETS - 1) == few
        assert not few_fleets({"parameters": parameters}, 10, FLEETS)
    run.header["stragglers"] = {"parameters": {"replay": "sequential"}, "logs": 5}
    assert warnings(run) == [], "ten workers have each of the logs twice"


@pytest.mark.parametrize(("logs", "few"), [(1, False), (5, False), (10, False), (3, True), (50, True)])
def test_logs_that_are_all_dealt_are_no_chance(logs, few):
    """Logs are no matter of chance if ten workers get each of them equally often, as with 1, 5 or 10 logs."""
    assert few_fleets({"parameters": {"replay": "sequential"}, "logs": logs}, 10, FLEETS - 1) == few


@pytest.mark.parametrize(
    ("machines", "words"),
    [(12, "10 to 11 are left out"), (4, "4 to 9 are the first"), (10, "")],
)
def test_a_recorded_fleet_of_another_size_is_worth_a_word(tmp_path, machines, words):
    """A warning names the machines of a profile that no worker stands for, or the workers that repeat them."""
    run = load(make_run(tmp_path / "run", {"none": lognormal(1, 10, 100)}))
    run.header["stragglers"] = {"machines": machines, "parameters": {}}
    found = [text for text in warnings(run) if text.startswith(f"the profile holds {machines} machines for 10 workers")]
    assert len(found) == (machines != 10)
    assert all(words in text for text in found)


@pytest.mark.parametrize(
    ("periods", "arrivals", "noted"),
    [
        *((1, "logs/day.csv", True), (40, "logs/day.csv", False)),
        *((1, "bursts", True), (1, "bursts that are none", False), (1, "poisson", False)),
    ],
)
def test_runs_that_met_too_few_bursts(tmp_path, periods, arrivals, noted):
    """It is said if runs met too few bursts for their mean load to be known; Poisson arrivals have none."""
    gaps = np.repeat(([0.1, 1.0] * (periods * 10 // 2))[: periods * 10], 400 // periods).reshape(10, 400)
    config = HEADER["config"] | {"arrivals": arrivals.split()[0]}
    facts = {
        "poisson": {},
        "bursts": {"arrivals": {"parameters": {"burst_factor": 5.0}}},
        "bursts that are none": {"arrivals": {"parameters": {"burst_factor": 1.0}}},
        "logs/day.csv": {"arrivals": {"count": 9, "rate": 1.0, "whole_seconds": False, "sha256": "0"}},
    }[arrivals]
    writer = RunWriter(tmp_path / "run", {**HEADER, "config": config, "schemes": SCHEMES, **facts})
    for run, times in enumerate(np.cumsum(gaps, axis=1).tolist()):
        for number, arrival in enumerate(times):
            writer.request(request(run=run, number=number, arrival=arrival))
            writer.task(task(run=run, number=number, sent=arrival, ended=arrival + 0.01))
        writer.cell(cell(run=run, requests=400))
    writer.finish("done")
    found = [text for text in warnings(load(tmp_path / "run")) if "the runs met " in text]
    met = "different parts of day.csv, whose load" if "day.csv" in arrivals else "so few bursts that their mean load"
    assert len(found) == noted
    assert all(f"the runs met {met}" in text and "known only to ±62 %" in text for text in found)


@pytest.mark.parametrize(("slower", "noted"), [(1.09, False), (1.3, True)])
def test_two_runs_that_are_as_alike_as_chance_makes_them_met_no_bursts(tmp_path, slower, noted):
    """Of two runs of 400 requests, a load that differs by 9 % is chance; one that differs by 30 % is not."""
    facts = {"arrivals": {"count": 9, "rate": 1.0, "whole_seconds": False, "sha256": "0"}}
    config = HEADER["config"] | {"arrivals": "day.csv"}
    writer = RunWriter(tmp_path / "run", {**HEADER, "config": config, "schemes": SCHEMES, **facts})
    for run, gap in enumerate((1.0, slower)):
        for number in range(400):
            writer.request(request(run=run, number=number, arrival=gap * number))
            writer.task(task(run=run, number=number, sent=gap * number, ended=gap * number + 0.01))
        writer.cell(cell(run=run, requests=400))
    writer.finish("done")
    assert any("the runs met different parts" in text for text in warnings(load(tmp_path / "run"))) == noted


def test_growth_of_a_known_queue():
    """Requests open for half a second do not grow; requests that are never answered grow by half of their number."""
    arrival = np.arange(0, 100, 0.25)
    assert growth(arrival, arrival + 0.5) == pytest.approx(0.0, abs=0.05)
    assert growth(arrival, np.full(400, 1000.0)) == pytest.approx(200.0, rel=0.01)
    assert growth(arrival[:1], arrival[:1]) == 0.0
    assert growth(np.zeros(5), np.ones(5)) == 0.0


def queue(rng: np.random.Generator, runs: int, requests: int, workers: int, load: float, bursts: bool = False) -> Table:
    """Return requests of a first-come-first-served M/M/k queue that starts empty, with a mean service of 1 s.

    With `bursts`, a fifth of the blocks of 20 gaps, at random places, has gaps a hundred times as long as the others,
    at the same mean load.
    """
    number, arrival, answered = [], [], []
    for run in range(runs):
        free = [0.0] * workers
        gaps = rng.exponential(1 / (load * workers), requests)
        if bursts:
            slow = np.repeat(rng.permutation(np.arange(requests // 20) % 5 == 0), 20)
            gaps *= np.where(slow, 100, 1) / (100 / 5 + 4 / 5)
        arrivals = np.cumsum(gaps)
        for now, service in zip(arrivals.tolist(), rng.exponential(1, requests).tolist(), strict=True):
            end = max(heapq.heappop(free), now) + service
            heapq.heappush(free, end)
            answered.append(end)
        arrival += arrivals.tolist()
        number += [run] * requests
    columns = {"run": np.array(number), "arrival": np.array(arrival), "answered": np.array(answered)}
    return Table(columns, {})


@pytest.mark.parametrize(
    ("load", "runs", "requests", "least", "most"),
    [(0.7, 4, 1000, 0, 0), (0.7, 2, 150, 0, 1), (0.9, 4, 1000, 0, 2), (1.1, 4, 1000, 34, 40), (1.5, 2, 150, 34, 40)],
)
def test_growing_queue_is_found_and_a_stable_one_is_not(load, runs, requests, least, most):
    """Of 40 experiments at most two seem to grow at loads 0.7 and 0.9, at least 34 do at 1.1 (short runs: 1.5)."""
    rng = np.random.default_rng(11)
    found = sum(growing(queue(rng, runs, requests, 10, load)) is not None for _ in range(40))
    assert least <= found <= most


@pytest.mark.parametrize(
    ("load", "runs", "requests", "least", "most"),
    [(0.7, 4, 1000, 0, 2), (0.7, 10, 300, 0, 2), (1.5, 10, 1000, 34, 40), (3.0, 4, 1000, 34, 40)],
)
def test_bursts_are_no_growth(load, runs, requests, least, most):
    """Of 40 experiments with bursts far above capacity, at most two seem to grow at load 0.7, and most do above 1."""
    rng = np.random.default_rng(12)
    found = sum(growing(queue(rng, runs, requests, 10, load, bursts=True)) is not None for _ in range(40))
    assert least <= found <= most


def test_dispersion_is_that_of_poisson_unless_shown_otherwise():
    """Counts of a Poisson process seem dispersed in 1 % of cases; bursts have their index, even arrivals count as 1."""
    rng = np.random.default_rng(3)
    seem = [dispersion([rng.multinomial(200, [0.25] * 4) for _ in range(5)]) for _ in range(3000)]
    assert 10 <= sum(index > 1 for index in seem) <= 50
    assert dispersion([np.array([100, 0, 0, 0])]) == pytest.approx(100)
    assert dispersion([np.array([25, 25, 25, 25])] * 3) == 1


@pytest.mark.parametrize(("slow", "found"), [(16, None), (17, 17.0)])
def test_growth_counts_beyond_what_a_fleet_at_capacity_shows(slow, found):
    """Growth must exceed 1.645 times the root of 5 / 6 of the arrivals: 17 open requests of 120 do, 16 do not."""
    arrival = np.arange(120.0)
    stays = (arrival >= 60) & (arrival < 60 + slow)
    columns = {"run": np.zeros(120, int), "arrival": arrival, "answered": np.where(stays, 200.0, arrival)}
    assert growing(Table(columns, {})) == found


def test_overload_is_a_reason(tmp_path):
    """A run in which each answer takes longer than the one before is INVALID."""
    latencies = [[number * 0.5 for number in range(400)]]
    (reason,) = judge(load(make_run(tmp_path / "run", {"none": latencies})))
    assert reason.startswith("none: its queue was still growing at the end")


def test_a_deadline_that_sheds_the_load_is_no_cure(tmp_path):
    """Above capacity, requests that are given up at the deadline while workers are busy make a run INVALID."""
    fleet = "--scheme none --compute-time 0.002 --deadline 0.2 --requests 1000 --runs 2 --accuracy none --workers 10"
    for used, code in ((1.1, 4), (0.5, 0)):
        place = tmp_path / str(used)
        assert exit_code(*f"simulate {fleet} --utilisation {used} --out {place}".split()) == code
    (reason,) = judge(load(tmp_path / "1.1"))
    assert "requests were given up at their --deadline while its single workers were busy" in reason


def test_the_busiest_workers_are_said_to_be_too_few(tmp_path):
    """If two roles cannot keep up with the load, the reason names the busier one and how busy it is."""
    schemes = [{"scheme": "collage", "variant": "collage", "allotment": {"single": 4, "collage": 1}, "options": {}}]
    writer = RunWriter(tmp_path / "run", {**HEADER, "schemes": schemes})
    for number in range(100):
        writer.request(request("collage", number=number, latency=None if number < 10 else 0.01))
        for place, (role, service) in enumerate((("single", 3.8), ("collage", 0.97))):
            facts = {"role": role, "worker": 4 * place, "service": service, "wanted_s": service, "queue": 2.0}
            times = {"sent": float(number), "ended": number + 2.0 + service}
            writer.task(task("collage", number=2 * number + place, **facts, **times))
    writer.cell(cell("collage", requests=100, duration=100.0))
    writer.finish("done")
    writer.close()
    (reason,) = [reason for reason in judge(load(tmp_path / "run")) if "--deadline" in reason]
    assert "10 of 100 requests were given up at their --deadline while its collage workers were busy 95 %" in reason


def simulated(place, used, scheme, requests=1000):
    """Return a simulated run in which one reply in ten is lost, with a deadline longer than the run."""
    fleet = "--compute-time 0.002 --stragglers erasure --drop-share 0.1 --deadline 60 --runs 2 --accuracy none"
    asked = f"--scheme {scheme} --requests {requests} --utilisation {used} --out {place}"
    exit_code(*f"simulate {fleet} {asked}".split())
    return load(place)


@pytest.mark.parametrize(("scheme", "used", "requests"), [("tied", 0.3, 2000), ("none", 0.95, 1000)])
def test_waiting_for_the_deadline_of_a_lost_reply_is_no_queue(tmp_path, scheme, used, requests):
    """Below capacity, a run shorter than its deadline is valid, though ever more requests wait for lost replies."""
    run = simulated(tmp_path / "run", used, scheme, requests)
    assert judge(run) == []
    assert scheme == "none" or growing(run.requests), "all open requests together do grow"


@pytest.mark.parametrize(("scheme", "used"), [("tied", 1.3), ("none", 1.3), ("replication", 0.8)])
def test_a_queue_grows_also_where_replies_are_lost(tmp_path, scheme, used):
    """Above capacity a growing queue is a reason, also where replies are lost, with advice on what to lower."""
    run = simulated(tmp_path / "run", used, scheme)
    (reason,) = judge(run)
    assert reason.startswith(f"{scheme}: its queue was still growing at the end")
    assert "lower --deadline, until which a worker whose reply was lost may stand idle, or --rate" in reason
    more = [
        text for text in warnings(run) if "while tasks waited" in text or "latencies after the first quarter" in text
    ]
    assert more == [], "the reason says as much"


def test_a_queue_that_waits_for_workers_whose_replies_were_lost_fails(tmp_path):
    """A central queue before workers that are idle until the deadline fails most requests, and that is the reason."""
    (reason,) = judge(simulated(tmp_path / "run", 0.3, "hedge-idle"))
    assert " of 1900 requests failed, so there is little to measure: raise --deadline" in reason


def test_failures_alone_are_no_growth(tmp_path):
    """Requests without an answer do not count as a growing queue."""
    assert judge(load(make_run(tmp_path / "run", {"none": [[0.02] * 50 + [None] * 50]}))) == []


def test_a_run_that_mostly_failed_is_not_valid(tmp_path):
    """A scheme of which more than half of the requests failed makes a run INVALID, and is named."""
    (reason,) = judge(load(make_run(tmp_path / "run", {"none": [[None] * 60 + [0.02] * 40]})))
    assert reason.startswith("none: 60 of 100 requests failed")


@pytest.mark.parametrize("forgotten", [60, 1])
def test_a_scheme_that_forgets_its_requests_is_at_fault(tmp_path, forgotten):
    """Even one request that was neither answered nor given up makes a run INVALID, as a bug in the scheme."""
    writer = RunWriter(tmp_path / "run", {**HEADER, "schemes": SCHEMES})
    for number in range(100):
        failed = {"latency": None, "reason": "unanswered"} if number >= 100 - forgotten else {}
        writer.request(request(number=number, **failed))
    writer.cell(cell(requests=100))
    writer.finish("done")
    writer.close()
    (reason,) = judge(load(tmp_path / "run"))
    assert reason.startswith(f"none: {forgotten} of 100 requests were neither answered nor given up")
    assert "which is a bug in the scheme" in reason
    assert reason.endswith("it must say so in `waits`")


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({}, "hedge: the servers' own answers were right in 0.0 % of 400 cases, but the manifest says 99.4 % for"),
        ({"promised": 0.12}, "hedge: the servers' own answers were right in 0.0 % of 400 cases"),
        ({"promised": 0.105}, None),  # so small a difference may be chance
        ({"promised": 0.1}, None),  # other images can explain the difference
        ({"promised": None}, None),
        ({"model": "unheard of"}, None),
        ({"fleet": "local"}, None),
        ({"source": "collage"}, None),  # no answer is the single model's
        ({"predicted": 3}, None),
        ({"predicted": None}, None),  # the classes are unknown
    ],
)
def test_servers_that_are_wrong_far_more_often_than_their_model_serve_another(tmp_path, changed, named):
    """Servers less accurate than their model by a tenth of the answers, and by more than chance, are a reason.

    Nothing is said if the model's accuracy or the answers' classes are unknown.
    """
    asked = {"promised": 0.994, "model": "m", "fleet": "endpoint", "source": "own", "predicted": 4, **changed}
    latencies = {name: [[0.02] * 200] * 2 for name in ("none", "hedge")}
    path = make_run(tmp_path / "run", latencies, source=asked["source"], predicted=asked["predicted"])
    of_hedge = {"scheme": "hedge", "variant": "hedge", "models": {"single": asked["model"]}}
    schemes = [*SCHEMES, {**SCHEMES[0], **of_hedge}]
    models = [{"name": "m", "accuracy": asked["promised"]}]
    change_header(path, schemes=schemes, models=models, config={**HEADER["config"], "fleet": asked["fleet"]})
    found = [reason for reason in judge(load(path)) if "servers' own answers" in reason]
    assert [reason[: len(named or "")] for reason in found] == ([named] if named else [])
