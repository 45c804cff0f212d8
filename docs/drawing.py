"""Draw the events of a scene as a small SVG: one lane for each worker, time from left to right.

The file needs only a viewer of SVG, no script and no font of its own. It paints its own background, follows the
reader's choice of light or dark where the viewer does, and describes in words what it shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from collagebench.engine.router import Job
from collagebench.schemes.protocol import Request

if TYPE_CHECKING:
    from timelines import Course

WIDTH = 640
LEFT, RIGHT = 110, 14
"""The x of time 0, and the margin after the last."""
END_MS, TICK_MS = 500, 100
TITLE, ARRIVALS, LANES = 22, 60, 78
"""Heights of the title's base line, of the middle of the arrivals, and of the top of the first lane."""
BAR, WAIT, GAP = 20, 13, 8
"""Heights of a bar, of a place in a worker's queue, and of the gap between lanes."""
RADIUS = 8.5

STYLE = """
text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:#1f2328}
.b{font-weight:600}.s{font-size:11px}.m{fill:#59636e}.c{text-anchor:middle}.e{text-anchor:end}
.tcopy{fill:#b54a00}.tgroup{fill:#7440c4}
.page{fill:#fff;stroke:#d1d9e0}.lane{fill:#f3f5f7}.slow{fill:#ffeedd}.hot{fill:#a53f00}
.grid{stroke:#d1d9e0}.line{fill:none;stroke:#818b98}
.own{fill:#0b5fcc;stroke:#0b5fcc}.copy{fill:#b54a00;stroke:#b54a00}.group{fill:#7440c4;stroke:#7440c4}
.guess{fill:#fff;stroke:#59636e;stroke-dasharray:3 2}.in{fill:#fff;stroke:none}.idle{fill:#fff;stroke:#59636e}
.own.lost{fill:#dde9f9}.copy.lost{fill:#f8e3d3}.group.lost{fill:#ebe1f8}.lost{stroke-opacity:.6}
.hatch{stroke:#59636e;stroke-opacity:.45}.queue{stroke:#59636e;stroke-dasharray:2 3}
.swatch{fill:url(#h);stroke:#818b98}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.m{fill:#9aa4af}.tcopy{fill:#f0883e}.tgroup{fill:#b392f0}
.page{fill:#0d1117;stroke:#3d444d}.lane{fill:#181d24}.slow{fill:#3a2412}.hot{fill:#ffa657}
.grid{stroke:#3d444d}.line{stroke:#7d8590}
.own{fill:#2f7de1;stroke:#4c95f5}.copy{fill:#c25a10;stroke:#e2762a}.group{fill:#8a5bdc;stroke:#a982f0}
.guess,.idle{fill:#0d1117;stroke:#9aa4af}.in{fill:#fff;stroke:none}
.own.lost{fill:#15294a}.copy.lost{fill:#44250f}.group.lost{fill:#2c2147}.hatch,.queue{stroke:#9aa4af}}
""".strip()


def draw(course: Course) -> str:
    """Return the SVG of a scene's events."""
    tops, bottom = _lanes(course)
    answers, height = bottom + 20, bottom + 86
    parts = [
        *_frame(course, tops, bottom, height),
        *(part for request in course.requests for part in _arrival(course, request, tops)),
        *(part for answer in course.answers for part in _way(answer, tops, answers)),
        *(part for job in course.jobs for part in _work(course, job, tops)),
        *(_dot(request.arrival, ARRIVALS, "idle", str(request.id + 1)) for request in course.requests),
        *_answers(course, answers),
        *_legend(course, height - 14),
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        'role="img" aria-labelledby="t d">'
    )
    words = [
        f'<title id="t">Timeline of the scheme {escape(course.title)}</title>',
        f'<desc id="d">{escape(describe(course))}</desc>',
        f"<style>{STYLE}</style>",
        '<pattern id="h" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<path class="hatch" d="M0 0V6"/></pattern>',
    ]
    return "\n".join([head, *words, *parts, "</svg>"]) + "\n"


def describe(course: Course) -> str:
    """Return in words what the picture shows."""
    slow = " and ".join(f"worker {worker + 1}" for worker in course.slow)
    sentences = [f"{slow.capitalize()} {'is' if len(course.slow) == 1 else 'are'} slow."]
    for job in course.jobs:
        start = f"Worker {job.worker + 1}: {_label(course, job)}, sent at {_ms(job.sent)}"
        if job.begun is None or job.service is None:
            sentences.append(f"{start}, cancelled in the queue at {_ms(course.over[job.task.id])}.")
        else:
            fate = "used" if job.outcome == "used" else "for nothing"
            sentences.append(f"{start}, served {_ms(job.begun)} to {_ms(job.begun + job.service)}, {fate}.")
    for request, source, _, now in course.answers:
        sentences.append(f"Request {request.id + 1}: answered after {_ms(now - request.arrival)} ({source}).")
    return " ".join(sentences)


def _lanes(course: Course) -> tuple[list[int], int]:
    """Return the top of each worker's lane, which has room for its longest queue, and the bottom of the last one."""
    tops, top = [], LANES
    for worker in range(len(course.roles)):
        tops.append(top)
        queued = [_place(course, job) for job in course.jobs if job.worker == worker and _queued(job)]
        top += BAR + GAP + WAIT * (max(queued) + 1 if queued else 0)
    return tops, top


def _frame(course: Course, tops: Sequence[int], bottom: int, height: int) -> Iterable[str]:
    yield f'<rect class="page" x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1}" rx="6"/>'
    yield _text(14, TITLE, course.title, "b")
    yield _text(14, TITLE + 17, _summary(course), "s m")
    yield _text(14, ARRIVALS + 4, "requests", "m")
    yield _text(14, bottom + 24, "answers", "m")
    edges = [*tops[1:], bottom]
    for worker, (top, edge, role) in enumerate(zip(tops, edges, course.roles, strict=True)):
        slow = worker in course.slow
        yield (
            f'<rect class="{"slow" if slow else "lane"}" x="6" y="{top - 3}" width="{WIDTH - 12}" '
            f'height="{edge - top - 2}" rx="3"/>'
        )
        name = f"worker {worker + 1}" if role in ("single", "coded") else role
        yield _text(14, top + 14, name, "m" if role == "left out" else "")
        if slow:
            yield _text(72, top + 14, "slow", "s hot")
    for tick in range(0, END_MS + 1, TICK_MS):
        x = _x(tick / 1000)
        yield f'<path class="grid" d="M{x} {LANES - 3}V{bottom + 38}"/>'
        yield _text(x, bottom + 52, f"{tick} ms" if tick else "0", "s m c")


def _summary(course: Course) -> str:
    """Return what the scheme achieved and what it cost."""
    latencies = {request.id + 1: round(now - request.arrival, 9) for request, _, _, now in course.answers}
    slowest = max(latencies, key=lambda number: (latencies[number], -number))
    worked = sum(job.service for job in course.jobs if job.service is not None)
    lost = sum(job.service for job in course.jobs if job.service is not None and job.outcome != "used")
    who = "every answer" if len(set(latencies.values())) == 1 else f"slowest answer: {slowest},"
    share = f"{lost / worked * 100:.0f} % of the" if lost else "no"
    return f"{who} after {_ms(latencies[slowest])}; {share} work for nothing"


def _arrival(course: Course, request: Request, tops: Sequence[int]) -> Iterable[str]:
    """Draw the line from a request to the workers that get it on its arrival."""
    at_once = [job for job in course.jobs if request in job.task.requests and job.sent == request.arrival]
    if at_once:
        x, lowest = _x(request.arrival), max(_top(course, job, tops) for job in at_once)
        yield f'<path class="line" d="M{x} {ARRIVALS}V{lowest}"/>'


def _way(answer: tuple[Request, str, tuple[Job, ...], float], tops: Sequence[int], y: int) -> Iterable[str]:
    """Draw the line from each reply that an answer comes from to the answer."""
    _, _, jobs, now = answer
    for job in jobs:
        assert job.begun is not None
        assert job.service is not None
        middle = tops[job.worker] + BAR // 2
        yield f'<path class="line" d="M{_x(job.begun + job.service)} {middle}H{_x(now)}V{y}"/>'


def _work(course: Course, job: Job, tops: Sequence[int]) -> Iterable[str]:
    top, label = tops[job.worker], _label(course, job)
    if _queued(job):
        y = top + BAR + WAIT * _place(course, job) + 8
        end = job.begun if job.begun is not None else course.over[job.task.id]
        number, back = _numbers(job), job.begun is None
        yield _text(_x(job.sent) + 4, y + 3, number, f"s t{_kind(job)}")
        x = round(_x(job.sent) + 8 + 6.2 * len(number), 1)
        stop = round(_x(end) - (10 if back else 1), 1)
        if stop > x:
            yield f'<path class="queue" d="M{x} {y}H{stop}"/>'
        if back:
            yield _text(max(_x(end), x + 9), y + 4, "✕", "s hot e")
    if job.begun is None or job.service is None:
        return
    x, end = _x(job.begun), _x(job.begun + job.service)
    box = f'x="{x}" y="{top}" width="{round(end - x - 1.5, 1)}" height="{BAR}" rx="3"'
    used = job.outcome == "used"
    yield f'<rect class="{_kind(job)}{"" if used else " lost"}" {box}/>'
    if not used:
        yield f'<rect fill="url(#h)" {box}/>'
    yield _text(round((x + end) / 2, 1), top + 14, label, "c in" if used else "c")


def _answers(course: Course, y: int) -> Iterable[str]:
    """Draw the answers; those that come nearly at once stand side by side."""
    last = -1e9
    for request, source, jobs, now in course.answers:
        kind = "guess" if source == "default" else _kind(jobs[0])
        x = max(_x(now), last + 2 * RADIUS + 2)
        yield _dot(now, y, kind, str(request.id + 1), x)
        last = x


def _legend(course: Course, y: int) -> Iterable[str]:
    """Say what the colours and lines of this picture mean."""
    served = [job for job in course.jobs if job.service is not None]
    kinds = {_kind(job): job for job in served}
    x = 14.0
    for kind, words in (("own", "own task"), ("copy", "copy"), ("group", "")):
        if kind in kinds:
            yield f'<rect class="{kind}" x="{x}" y="{y - 9}" width="14" height="10" rx="2"/>'
            words = "sent again" if kind == "copy" and _resends(course) else words
            words = words or GROUPS[kinds[kind].task.role]
            yield _text(x + 19, y, words, "s m")
            x += 33 + 5.7 * len(words)
    if any(job.outcome != "used" for job in served):
        box = f'x="{x}" y="{y - 9}" width="14" height="10" rx="2"'
        yield f'<rect class="swatch" {box}/>'
        yield _text(x + 19, y, "served for nothing", "s m")
        x += 33 + 5.7 * 18
    if any(_queued(job) for job in course.jobs):
        yield f'<path class="queue" d="M{x} {y - 4}h16"/>'
        yield _text(x + 20, y, "waits", "s m")
        x += 33 + 5.7 * 5
    if any(job.service is None for job in course.jobs):
        yield _text(x, y, "✕", "s hot")
        yield _text(x + 13, y, "cancelled", "s m")


GROUPS = {
    "collage": "collage of several",
    "parity": "parity of several",
    "backup": "batch for the small model",
    "coded": "coded image, a mix of several",
}


def _kind(job: Job) -> str:
    if job.task.role != "single":
        return "group"
    return "copy" if job.task.attempt else "own"


def _numbers(job: Job) -> str:
    separator = " + " if job.task.role in ("parity", "coded") else " "
    return separator.join(str(request.id + 1) for request in job.task.requests)


def _label(course: Course, job: Job) -> str:
    if _kind(job) != "copy":
        return _numbers(job)
    return f"{_numbers(job)} again" if _resends(course) else f"copy of {_numbers(job)}"


def _resends(course: Course) -> bool:
    """Return whether further tasks of a request replace earlier ones, instead of racing with them."""
    return any(source == "resent" for _, source, _, _ in course.answers)


def _queued(job: Job) -> bool:
    return job.begun is None or job.begun > job.sent


def _place(course: Course, job: Job) -> int:
    """Return how many tasks are before a waiting task in its worker's queue."""
    return sum(
        other.worker == job.worker
        and _queued(other)
        and other.task.id < job.task.id
        and (other.begun if other.begun is not None else course.over[other.task.id]) > job.sent
        for other in course.jobs
    )


def _top(course: Course, job: Job, tops: Sequence[int]) -> int:
    return tops[job.worker] + (BAR + WAIT * _place(course, job) + 2 if _queued(job) else 0)


def _x(seconds: float) -> float:
    return round(LEFT + seconds * 1000 / END_MS * (WIDTH - LEFT - RIGHT - 22), 1)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    kind = f' class="{kind}"' if kind else ""
    return f'<text x="{round(x, 1)}" y="{y}"{kind}>{escape(text)}</text>'


def _dot(seconds: float, y: int, kind: str, text: str, x: float | None = None) -> str:
    x = _x(seconds) if x is None else round(x, 1)
    words = _text(x, y + 4, text, "s c" if kind in ("idle", "guess") else "s c in")
    return f'<circle class="{kind}" cx="{x}" cy="{y}" r="{RADIUS}"/>{words}'
