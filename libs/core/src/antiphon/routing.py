"""Which pool takes which stages of a job. Pure."""

from collections.abc import Iterable, Sequence

from antiphon.errors import NoPool
from antiphon.jobs import Leg
from antiphon.pools import Pool

ANY = "any"
MODEL_LANE = "gpu"
"""The lane whose stages run the wanted model; the others do not care."""


def legs(stages: Sequence[tuple[str, str]], model: str | None, pools: Iterable[Pool]) -> tuple[Leg, ...]:
    """Cut `stages`, pairs of (name, lane) in running order, into legs.

    A stage stays with the pool of the stage before it where that pool serves its lane, so that a job changes hands as
    seldom as possible; otherwise the first suitable pool by name takes it. Stages of the lane `any` join the stage
    before them, or, at the beginning, the one behind them. Raises NoPool if no pool serves a lane or has `model`.
    """
    candidates = sorted(pools, key=lambda pool: pool.name)
    lanes = [lane for _, lane in stages]
    first = next((lane for lane in lanes if lane != ANY), None)
    cut: list[tuple[Pool, list[str]]] = []
    for (stage, _), lane in zip(stages, _resolved(lanes, first), strict=True):
        current = cut[-1][0] if cut else None
        if current is not None and (lane == ANY or _suits(current, lane, model)):
            cut[-1][1].append(stage)
        else:
            cut.append((_choose(candidates, lane, model), [stage]))
    return tuple(Leg(pool.name, tuple(names)) for pool, names in cut)


def _resolved(lanes: Sequence[str], first: str | None) -> list[str]:
    """The lanes with those `any` that open the list turned into the first real one."""
    resolved = list(lanes)
    for index, lane in enumerate(lanes):
        if lane != ANY or first is None:
            break
        resolved[index] = first
    return resolved


def _suits(pool: Pool, lane: str, model: str | None) -> bool:
    if lane == ANY:
        return bool(pool.lanes - {"live"})
    return lane in pool.lanes and (lane != MODEL_LANE or model is None or pool.model == model)


def _choose(pools: Sequence[Pool], lane: str, model: str | None) -> Pool:
    for pool in pools:
        if _suits(pool, lane, model):
            return pool
    wanted = f"the model {model!r}" if lane == MODEL_LANE and model is not None else f"the lane {lane!r}"
    models = sorted({pool.model for pool in pools if MODEL_LANE in pool.lanes})
    offered = f"models served here: {', '.join(models)}" if models else "no pool is registered here"
    raise NoPool(f"no pool serves {wanted}; {offered}")
