"""The requirements on a scheme: which one a candidate breaks, who is chosen, and who is on the front."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collagebench.errors import UsageError
from collagebench.report.recommendation import said_points, said_right
from collagebench.study.candidates import Left
from collagebench.study.explained import explain
from collagebench.study.explained import figures as said_figures
from collagebench.study.ranking import ABOUT, faster_than_none, front, near_misses, ranked
from collagebench.study.wishes import Candidate, Figures, Wishes, status


def candidate(
    name: str,
    latency: float,
    work: float = 1.0,
    accuracy: float | None = 0.9,
    lost: float | None = 0.0,
    high: float | None = None,
    unsteady: str | None = None,
    accuracy_low: float | None = None,
    lost_high: float | None = None,
    by_run: tuple[float, ...] = (),
) -> Candidate:
    """Return a candidate with these figures at its only load."""
    ends = (0.9 * latency, latency * 1.01 if high is None else high)
    at = Figures(latency, *ends, accuracy, lost, work, unsteady, accuracy_low, lost_high, by_run=by_run)
    return Candidate(name, name, {}, (at,))


NONE = candidate("none", 0.2)
COLLAGE = candidate("collage", 0.05, 1.2, 0.89, 0.01)
HEDGE = candidate("hedge", 0.08, 1.05)
REPLICATION = candidate("replication", 0.04, 1.9)


@pytest.mark.parametrize(
    ("one", "wishes", "expected"),
    [
        (HEDGE, Wishes(slo=0.1), "meets"),
        (candidate("wide", 0.09, high=0.12), Wishes(slo=0.1), "perhaps"),
        (NONE, Wishes(slo=0.1), "late"),
        (candidate("failing", inf), Wishes(), "late"),
        (COLLAGE, Wishes(slo=0.1, loss=0.005), "inaccurate"),
        (COLLAGE, Wishes(slo=0.1, accuracy=0.895), "inaccurate"),
        (candidate("lossy", 0.05, lost=0.02), Wishes(slo=0.1), "inaccurate"),
        (candidate("lossy", 0.05, lost=0.02), Wishes(slo=0.1, accuracy=0.85), "meets"),
        (candidate("unsure", 0.05, lost=0.004, lost_high=0.011), Wishes(slo=0.1), "perhaps"),
        (candidate("sure", 0.05, lost=0.004, lost_high=0.009), Wishes(slo=0.1), "meets"),
        (candidate("unsure", 0.05, accuracy_low=0.87), Wishes(slo=0.1, accuracy=0.88), "perhaps"),
        (candidate("sure", 0.05, accuracy_low=0.885), Wishes(slo=0.1, accuracy=0.88), "meets"),
        (candidate("unknown", 0.05, accuracy=None, lost=None), Wishes(slo=0.1), "inaccurate"),
        (candidate("unknown", 0.05, accuracy=None, lost=None), Wishes(slo=0.1, accuracy=0.1), "inaccurate"),
        (candidate("unknown", 0.05, accuracy=None, lost=None), Wishes(slo=0.1, loss=1.0), "meets"),
        (REPLICATION, Wishes(slo=0.1, budget=0.5), "expensive"),
        (candidate("growing", 0.01, unsteady="its queue was still growing"), Wishes(slo=0.1), "unsteady"),
    ],
)
def test_a_candidate_is_judged_by_the_first_wish_that_it_breaks(one: Candidate, wishes: Wishes, expected: str) -> None:
    """A candidate has the status of the first requirement that it breaks, or that it meets all, perhaps or surely."""
    assert status(one, wishes) == expected


def test_a_candidate_is_judged_by_its_worst_load() -> None:
    """A candidate that is late at one of two loads is late; its cost is the mean over the loads."""
    two = Candidate("hedge", "hedge", {}, (*candidate("x", 0.05, 1.0).at, *candidate("x", 0.15, 1.2).at))
    assert status(two, Wishes(slo=0.1)) == "late"
    assert two.worst.latency == 0.15
    assert two.cost == pytest.approx(1.1)
    assert status(two, Wishes(slo=0.2, budget=0.15)) == "expensive"
    assert status(two, Wishes(slo=0.2, budget=0.25)) == "meets"


def test_it_is_surely_in_time_if_it_is_at_every_load() -> None:
    """A candidate surely meets the SLO only if the upper ends of its intervals do at every load."""
    steady, wide = candidate("x", 0.09, high=0.095), candidate("x", 0.05, high=0.12)
    assert status(Candidate("hedge", "hedge", {}, (*steady.at, *steady.at)), Wishes(slo=0.1)) == "meets"
    both = Candidate("hedge", "hedge", {}, (*wide.at, *steady.at))
    assert status(both, Wishes(slo=0.1)) == "perhaps"
    assert both.at_most == 0.12


def test_with_an_slo_the_cheapest_that_meets_it_is_chosen() -> None:
    """With an SLO the cheapest scheme that meets it is chosen, not the fastest."""
    order = ranked([NONE, COLLAGE, HEDGE, REPLICATION], Wishes(slo=0.1))
    assert [one.variant for one in order] == ["hedge", "collage", "replication"]


def test_no_redundancy_is_chosen_wherever_it_will_do() -> None:
    """No redundancy is chosen if it meets the SLO, even if another scheme costs slightly less."""
    order = ranked([candidate("tied", 0.1, 0.99), NONE], Wishes(slo=0.3))
    assert order[0] is NONE


def test_at_equal_cost_the_more_accurate_is_chosen() -> None:
    """If the SLO is met at about the same cost, accuracy counts before speed."""
    right, fast = candidate("right", 0.06, 1.21, 0.9), candidate("fast", 0.05, 1.2, 0.88)
    assert ranked([fast, right], Wishes(slo=0.1, loss=1.0))[0] is right


def test_without_an_slo_the_fastest_is_chosen_and_of_equals_the_cheapest() -> None:
    """Without an SLO the fastest is chosen, or the cheapest of those within 5 % of it."""
    assert ranked([NONE, HEDGE, REPLICATION], Wishes())[0] is REPLICATION
    nearly = candidate("collage", 0.041, 1.2)
    assert ranked([NONE, nearly, REPLICATION], Wishes())[0] is nearly


def test_without_an_slo_redundancy_must_be_shown_to_be_faster_than_none() -> None:
    """Without an SLO a scheme must be shown to be faster than none; the cheapest of those about as fast wins."""
    plain = candidate("none", 0.107, by_run=(0.10, 0.12, 0.09, 0.115))
    lucky = candidate("lucky", 0.097, 1.05, by_run=(0.115, 0.09, 0.07, 0.116))
    faster = candidate("faster", 0.07, 1.5, by_run=(0.065, 0.084, 0.056, 0.079))
    cheaper = candidate("cheaper", 0.072, 1.2, by_run=(0.07, 0.083, 0.057, 0.08))
    assert ranked([plain, lucky], Wishes()) == [plain, lucky]
    assert [one.variant for one in ranked([plain, faster, lucky, cheaper], Wishes())][:2] == ["cheaper", "faster"]
    assert status(candidate("few", 0.05, high=inf), Wishes()) == "perhaps"
    # Neither a candidate with a wide scatter nor an infinite run hides one that is shown to be faster.
    noisy = candidate("noisy", 0.06, by_run=(0.02, 0.14, 0.03, 0.12))
    steady = candidate("steady", 0.08, by_run=(0.08, 0.0815, 0.0795, 0.0805))
    still = candidate("none", 0.1, by_run=(0.1, 0.101, 0.099, 0.1005))
    assert [one.variant for one in ranked([still, noisy, steady], Wishes())] == ["steady", "none", "noisy"]
    endless = candidate("none", 1.0, high=inf, by_run=(0.1, 0.1, inf, 0.1))
    assert ranked([endless, replace(steady, at=(replace(steady.worst, high=inf),))], Wishes())[0].variant == "steady"


def test_without_an_slo_uncertainty_is_no_merit() -> None:
    """Without an SLO a cheap scheme whose p99 is 6 % higher is not chosen, though nothing shows that it is slower."""
    still = candidate("none", 0.3, by_run=(0.3, 0.301, 0.299, 0.3005))
    fast = candidate("fast", 0.1, 1.5, by_run=(0.1, 0.1015, 0.0995, 0.1005))
    for above, first in ((1.04, "cheap"), (1.06, "fast")):
        uncertain = tuple(above * seconds for seconds in (0.06, 0.14, 0.07, 0.13))
        cheap = candidate("cheap", above * 0.1, 1.05, by_run=uncertain)
        assert ranked([still, fast, cheap], Wishes())[0].variant == first


def test_what_surely_meets_the_slo_comes_before_what_perhaps_does() -> None:
    """A scheme that surely meets the SLO comes before a cheaper one that perhaps does."""
    perhaps = candidate("perhaps", 0.09, 1.0, high=0.11)
    assert [one.variant for one in ranked([perhaps, REPLICATION], Wishes(slo=0.1))] == ["replication", "perhaps"]


@pytest.mark.parametrize(
    ("wishes", "nearest"),
    [
        (Wishes(slo=0.01, budget=0.5), {"slo": "collage"}),
        (Wishes(slo=0.1, budget=0.01), {"budget": "hedge", "slo": "none"}),
        (
            Wishes(slo=0.06, accuracy=0.895, budget=0.5),
            {"budget": "replication", "floor": "collage", "slo": "hedge"},
        ),
        (Wishes(accuracy=0.95), {"floor": "none"}),
        (
            Wishes(slo=0.06, loss=0.001, accuracy=0.3, budget=0.5),
            {"budget": "replication", "loss": "collage", "slo": "hedge"},
        ),
        (Wishes(slo=0.01, budget=0.5, accuracy=0.95), {}),
    ],
)
def test_where_nothing_meets_all_wishes_it_is_said_which_one_is_in_the_way(
    wishes: Wishes, nearest: dict[str, str]
) -> None:
    """If none meets all requirements, a near miss is named for each one: a candidate that breaks that one alone."""
    candidates = [NONE, COLLAGE, HEDGE, REPLICATION]
    assert ranked(candidates, wishes) == []
    assert {wish: one.variant for wish, one in near_misses(candidates, wishes).items()} == nearest


figures = st.builds(
    Figures,
    latency=st.floats(0.001, 10),
    low=st.just(0.0),
    high=st.floats(0.001, 20),
    accuracy=st.floats(0, 1),
    lost=st.floats(-0.1, 0.5),
    work=st.floats(0.5, 5),
    unsteady=st.sampled_from([None, None, None, "it grew"]),
)
some = st.lists(figures, min_size=1, max_size=12).map(
    lambda all_of_them: [Candidate(f"c{n}", "none" if n == 0 else "x", {}, (one,)) for n, one in enumerate(all_of_them)]
)
wished = st.builds(
    Wishes,
    slo=st.none() | st.floats(0.001, 10),
    accuracy=st.none() | st.floats(0, 1),
    loss=st.none() | st.floats(0, 1),
    budget=st.none() | st.floats(0, 4),
)


@given(some, wished)
def test_the_ranking_holds_just_those_that_break_nothing(candidates: list[Candidate], wishes: Wishes) -> None:
    """The ranking has each candidate that breaks nothing once, those that surely meet the requirements first."""
    order = ranked(candidates, wishes)
    words = [status(one, wishes) for one in order]
    assert {one.variant for one in order} == {
        one.variant for one in candidates if status(one, wishes) in ("meets", "perhaps")
    }
    assert len(order) == len({one.variant for one in order})
    assert words == sorted(words)


@given(some, wished)
def test_nothing_that_follows_is_better_by_more_than_what_counts_as_equal(
    candidates: list[Candidate], wishes: Wishes
) -> None:
    """In the ranking, cost (or latency without an SLO) never falls by more than its tolerance."""
    order = [one for one in ranked(candidates, wishes) if one.scheme != "none" and status(one, wishes) == "meets"]
    for earlier, later in pairwise(order):
        if wishes.slo is not None:
            assert earlier.cost <= later.cost + ABOUT["cost"] + 1e-9
        else:
            assert earlier.worst.latency <= later.worst.latency * (1 + ABOUT["latency"]) + 1e-9


@given(some)
def test_the_front_holds_just_those_that_no_other_beats(candidates: list[Candidate]) -> None:
    """No candidate on the front beats another, and every steady one off it is beaten by one on it."""
    best = front(candidates)
    assert not any(one.beats(other) for one in best for other in best)
    for one in candidates:
        if one.worst.unsteady is None and one not in best:
            assert any(other.beats(one) for other in best)


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"quantile": "p42"}, "--slo-quantile must be one of p50, p90, p95, p99, not 'p42'"),
        ({"accuracy": 95.0}, "--accuracy-floor is a share from 0 to 1, not 95"),
        ({"loss": -0.1}, "--accuracy-loss is a share from 0 to 1, not -0.1"),
        ({"budget": -1.0}, "--budget is a share from 0 up, not -1"),
        ({"budget": inf}, "--budget is a share from 0 up, not inf"),
    ],
)
def test_wishes_that_make_no_sense_are_refused(wishes: dict[str, object], said: str) -> None:
    """An invalid requirement is refused in one sentence with the option, what it takes and what was given."""
    with pytest.raises(UsageError) as refused:
        Wishes(**wishes)  # type: ignore[arg-type]
    assert str(refused.value) == said


def test_it_says_why_what_is_no_worse_in_any_figure_comes_second() -> None:
    """If the runner-up is no worse in any figure, the sentence says that it is less certain; otherwise it does not."""
    wishes = Wishes(slo=0.1)
    chosen, wide = candidate("backup", 0.06, 1.28, high=0.062), candidate("collage", 0.06, 1.27, high=0.09)
    order = ranked([NONE, chosen, wide], wishes)
    assert order == [chosen, wide]
    text = " ".join(explain([NONE, *order], order, {}, (), wishes, ()))
    assert "Next best, no worse in any figure but less certain: collage with a p99 of 60 ms (at most 90 ms)" in text
    order = [chosen, replace(wide, at=candidate("collage", 0.061, 1.27, high=0.09).at)]
    assert "Next best: collage" in " ".join(explain([NONE, *order], order, {}, (), wishes, ()))


def test_what_is_cheaper_and_perhaps_good_enough_is_named() -> None:
    """With an SLO the cheapest is named that saves clearly, without one the fastest; a hundredth saved is not clear."""
    chosen = candidate("backup", 0.04, 1.53)
    slight = candidate("idle", 0.03, 1.52, high=0.2)
    early, late = candidate("early", 0.05, 1.06, high=0.2), candidate("p90", 0.08, 1.05, high=0.2)
    judged = [NONE, chosen, slight, early, late]
    text = " ".join(explain(judged, [chosen, late, early, slight], {}, (), Wishes(slo=0.1), ()))
    assert "Cheaper, and perhaps good enough: p90 (1.05x the work)" in text
    text = " ".join(explain([NONE, chosen, slight], [chosen, slight], {}, (), Wishes(slo=0.1), ()))
    assert "perhaps good enough: " not in text
    unsure = [replace(one, at=(replace(one.worst, high=inf),)) for one in (slight, early, late)]
    text = " ".join(explain([NONE, chosen, *unsure], [chosen, *unsure], {}, (), Wishes(), ()))
    assert "Cheaper, and perhaps good enough: early (1.06x the work)" in text


def test_without_an_slo_a_fast_one_for_half_the_extra_work_is_named() -> None:
    """Without an SLO the fastest that needs at most half the extra work is named, if it is faster than none."""
    fast, half, third = REPLICATION, candidate("half", 0.09, 1.45), candidate("third", 0.12, 1.3)
    after = candidate("after", 0.05, 1.8)
    for judged, named in (
        ([NONE, fast, third, half, after], "For at most half the extra work: half with a p99 of 90 ms"),
        ([NONE, fast, third, after], "For at most half the extra work: third with a p99 of 120 ms"),
        ([NONE, fast, third, half], "Next best, for at most half the extra work: half with a p99 of 90 ms"),
    ):
        text = " ".join(explain(judged, ranked(judged, Wishes()), {}, (), Wishes(), ()))
        assert named in text
        assert text.count("half the extra work") == 1
    for other in (
        candidate("more", 0.05, 1.46),
        candidate("slow", 0.195, 1.1),
        candidate("wrong", 0.05, 1.1, lost=0.1),
        candidate("wide", 0.05, 1.1, high=inf),
    ):
        judged = [NONE, fast, other]
        assert "half the extra" not in " ".join(explain(judged, ranked(judged, Wishes()), {}, (), Wishes(), ()))


def test_where_all_is_only_perhaps_good_enough_half_the_extra_work_is_named_as_well() -> None:
    """If no interval is known, as with few random fleets, the choice is a perhaps, and so is what needs less work."""
    judged = [candidate(name, p99, work, high=inf) for name, p99, work in (("none", 0.2, 1), ("a", 0.05, 2))]
    judged += [candidate("b", 0.06, 1.8, high=inf), candidate("c", 0.08, 1.1, high=inf)]
    first, *others = explain(judged, ranked(judged, Wishes()), {}, (), Wishes(), ())
    assert first.startswith("Perhaps use a: ")
    assert "For at most half the extra work: c with a p99 of 80 ms, 90.0 % right, 1.10x the work." in others


def test_for_half_the_extra_work_only_what_is_shown_to_be_faster_than_none_is_named() -> None:
    """For half the extra work only what is shown to be faster than none is named, unless none will not do itself. Where
    none is chosen, nothing is left to halve."""
    plain = candidate("none", 0.107, by_run=(0.10, 0.12, 0.09, 0.115))
    faster = candidate("faster", 0.07, 1.5, by_run=(0.065, 0.084, 0.056, 0.079))
    lucky = candidate("lucky", 0.093, 0.9, by_run=(0.115, 0.09, 0.07, 0.116))
    half = candidate("half", 0.095, 1.2, by_run=(0.088, 0.1075, 0.0775, 0.103))
    failing = candidate("none", inf, by_run=(inf, 0.12, 0.09, 0.115))
    for judged, first, said in (
        ([plain, faster, lucky, half], faster, "half the extra work: half"),
        ([plain, faster, lucky], faster, ""),
        ([failing, faster, lucky], faster, "half the extra work: lucky"),
        ([plain, lucky], plain, ""),
    ):
        order = ranked(judged, Wishes())
        assert order[0] is first
        text = " ".join(explain(judged, order, {}, (), Wishes(), ()))
        assert said in text
        assert ("half the extra" in text) == bool(said)


def test_a_faster_runner_up_of_no_redundancy_calls_for_more_runs() -> None:
    """If no redundancy is chosen because nothing is shown to be faster, it is said that more runs may show it."""
    none = candidate("none", 0.2, by_run=(0.1, 0.3))
    for latency, said in (
        (0.1, "Next best, and faster in these runs (more --runs would tell): hedge"),
        (0.195, "Next best: hedge"),
    ):
        judged = [none, candidate("hedge", latency, 1.1, by_run=(latency, latency))]
        order = ranked(judged, Wishes())
        assert order[0] is none
        assert said in " ".join(explain(judged, order, {}, (), Wishes(), ()))


def test_of_what_is_otherwise_alike_the_faster_comes_first() -> None:
    """If cost, accuracy and upper ends are about equal, the clearly faster candidate is ranked first."""
    slow, fast = candidate("p90", 0.083, 1.05, high=0.2), candidate("early", 0.046, 1.058, high=0.2)
    near = candidate("near", 0.082, 1.04, high=0.2)
    assert [one.variant for one in ranked([NONE, slow, fast], Wishes(slo=0.09))] == ["early", "p90"]
    assert [one.variant for one in ranked([NONE, slow, near], Wishes(slo=0.09))] == ["near", "p90"]


def test_digits_show_on_which_side_of_a_limit_a_share_is() -> None:
    """A share that is rounded to its limit has as many digits as show that it is not at it."""
    assert [said_right(share, 0.995) for share in (0.994947, 0.995, 0.99504, 0.98)] == [
        "99.49 %", "99.5 %", "99.504 %", "98.0 %",
    ]  # fmt: skip
    assert [said_points(lost, 0.01) for lost in (0.0103, 0.01, 0.0097, 0.005, -0.0001)] == [
        "-1.03", "-1.0", "-0.97", "-0.5", "+0.0",
    ]  # fmt: skip
    one = candidate("x", 0.05, accuracy=0.89496)
    assert "89.50 % right" not in said_figures(one, Wishes(accuracy=0.895))
    assert "89.496 % right" in said_figures(one, Wishes(accuracy=0.895))


def test_the_longest_answer_has_seven_sentences() -> None:
    """With four requirements in the way and a scheme left out, an answer names three of them, in seven sentences."""
    wishes = Wishes(slo=0.1, accuracy=0.85, loss=0.01, budget=0.5)
    lossy, low = candidate("lossy", 0.05, lost=0.02), candidate("low", 0.05, accuracy=0.8)
    judged = [NONE, REPLICATION, lossy, low]
    nearest = near_misses(judged, wishes)
    assert list(nearest) == ["budget", "floor", "loss", "slo"]
    text = " ".join(explain(judged, [], nearest, [Left("parity", "there is no model")], wishes, ()))
    assert [sentence.split(":")[0].split(",")[0] for sentence in re.split(r"(?<=\.) (?=[A-Z])", text)] == [
        "No scheme meets all the requirements.",
        "Without the budget of 50 % extra work",
        "Without the accuracy floor of 85 % right",
        "Without the limit of 1 point of lost accuracy",
        "Without redundancy",
        "Of 4 variants",
        "Not considered",
    ]


def test_where_nothing_keeps_up_no_requirement_is_blamed() -> None:
    """If no candidate can keep up, requirements are not said to be in the way: only load and workers are."""
    wishes = Wishes(slo=0.1, budget=0.5)
    judged = [candidate(name, 0.5, unsteady="overload") for name in ("none", "hedge")]
    first = explain(judged, [], near_misses(judged, wishes), (), wishes, ())[0]
    assert first == "No scheme can keep up, whatever the requirements: lower the load, or add workers."
    failing = [judged[0], candidate("hedge", inf)]
    assert "relax more of them" in explain(failing, [], near_misses(failing, wishes), (), wishes, ())[0]


def test_a_scheme_that_lacks_a_model_for_some_variants_is_not_called_unconsidered() -> None:
    """Of a scheme that is among the candidates, only its other variants are said to be left out."""
    judged = [NONE, replace(candidate("collage 2x2", 0.06, 1.27), scheme="collage")]
    left = [Left("collage 3x3 auto", "no model"), Left("collage 4x4 auto", "no model"), Left("nercc", "no model")]
    last = explain(judged, judged[1:], {}, left, Wishes(slo=0.1), ())[-1]
    assert last.endswith("Not considered, for lack of a model or of workers: other variants of collage, nercc.")


def test_an_upper_end_that_is_hardly_lower_decides_nothing() -> None:
    """At about equal cost, an upper end that is 2 % lower does not beat a candidate that is nowhere worse."""
    better, other = candidate("collage", 0.06, 1.27, high=0.0632), candidate("backup", 0.06, 1.28, high=0.062)
    assert ranked([NONE, other, better], Wishes(slo=0.1)) == [better, other]


@pytest.mark.parametrize(("high", "first"), [(0.083, "cheap"), (0.086, "soon")])
def test_an_upper_end_that_is_clearly_lower_decides_between_equals(high: float, first: str) -> None:
    """At about equal cost and accuracy, an upper end that is more than 5 % lower decides; otherwise cost does."""
    cheap, soon = candidate("cheap", 0.05, 1.05, high=high), candidate("soon", 0.05, 1.06, high=0.08)
    assert ranked([cheap, soon], Wishes(slo=0.1))[0].variant == first


@pytest.mark.parametrize(("latency", "faster"), [(0.104, False), (0.106, True)])
def test_of_one_run_only_what_is_faster_by_far_is(latency: float, faster: bool) -> None:
    """In a single run only more than 5 % counts as faster; two runs that contradict each other show nothing."""
    none, hedge = candidate("none", latency), candidate("hedge", 0.1)
    assert faster_than_none([hedge], none) == ([hedge] if faster else [])
    none = candidate("none", 0.25, by_run=(0.1, 0.4))
    hedge = candidate("hedge", 0.15, by_run=(0.2, 0.1))
    assert faster_than_none([hedge], none) == []


def test_whatever_bears_the_load_is_faster_than_no_redundancy_that_does_not() -> None:
    """Any scheme that sustains the load is faster than no redundancy that does not, unlike one that does not either."""
    none, other = (candidate(name, 0.1, unsteady="its queue grew") for name in ("none", "tied"))
    assert faster_than_none([other, HEDGE, NONE], none) == [HEDGE, NONE]


def test_no_redundancy_is_called_so_as_the_fastest_other() -> None:
    """If only one scheme meets the SLO and no redundancy is the fastest other, the sentence does not call it `none`."""
    judged, wishes = [NONE, HEDGE], Wishes(slo=0.1)
    text = " ".join(explain(judged, ranked(judged, wishes), {}, (), wishes, ()))
    assert "No other scheme meets the requirements: the fastest other is no redundancy with a p99 of 200 ms" in text
