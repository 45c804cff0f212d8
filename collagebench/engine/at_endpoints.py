"""Inference times at servers that already run, measured there, because this machine cannot tell them.

The plan of a run needs them to turn a utilisation into a rate, and to estimate when a task should be done. They include
the round trip to the server, because a task occupies a slot for that time, too.
"""

from __future__ import annotations

from collections.abc import Mapping

from collagebench.config import Config
from collagebench.engine.event_loop import complete
from collagebench.engine.on_workers import specs_of, where_of
from collagebench.engine.variants import sizes_of, variants_of
from collagebench.fleet import ModelFile, Where, WorkerSpec
from collagebench.fleet.bearer import Token
from collagebench.fleet.endpoint import endpoint_fleet, times


def inference_times(config: Config, token: Token | None) -> Mapping[tuple[str, int], float]:
    """Return the seconds of one inference of each model that the config needs, by model name and batch size.

    Raises:
        CollagebenchError: a server cannot be reached, or does not serve what is needed.
        Interrupted: Ctrl-C or SIGTERM came.
    """
    variants, _ = variants_of(config)
    specs = specs_of(variants)
    files = {file.name: file for spec in specs for file in spec.models}
    return complete(
        _asked(where_of(config, token), specs, [(files[name], size) for name, size in sorted(sizes_of(variants))])
    )


async def _asked(
    where: Where, specs: list[WorkerSpec], sizes: list[tuple[ModelFile, int]]
) -> Mapping[tuple[str, int], float]:
    async with endpoint_fleet(where, specs, lambda worker, reason: None) as fleet:
        return await times(fleet, sizes)
