from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.errors import NoPool, SettingsError
from antiphon.jobs import Leg
from antiphon.pools import Pool
from antiphon.routing import legs

BOTH = Pool("default", "tiny.en", frozenset({"cpu", "gpu"}))
CPU = Pool("alpha", "tiny.en", frozenset({"cpu"}))
GPU = Pool("gpu-tiny", "tiny.en", frozenset({"gpu"}))
BASE = Pool("gpu-base", "base", frozenset({"gpu"}))

FULL = [("decode", "any"), ("transcribe", "gpu"), ("pitch", "cpu"), ("sentiment", "any"), ("render", "any")]


def test_one_pool_that_serves_everything_takes_the_job_in_one_leg() -> None:
    assert legs(FULL, None, [BOTH]) == (Leg("default", ("decode", "transcribe", "pitch", "sentiment", "render")),)


def test_lanes_in_different_pools_make_legs_and_free_stages_join_their_neighbours() -> None:
    assert legs(FULL, "tiny.en", [CPU, GPU]) == (
        Leg("gpu-tiny", ("decode", "transcribe")),
        Leg("alpha", ("pitch", "sentiment", "render")),
    )


def test_a_job_stays_with_a_pool_that_can_go_on_even_if_another_comes_first_by_name() -> None:
    assert len(legs(FULL, None, [CPU, BOTH])) == 1


def test_the_wanted_model_chooses_the_pool() -> None:
    assert legs(FULL[:2], "base", [GPU, BASE]) == (Leg("gpu-base", ("decode", "transcribe")),)


def test_a_job_of_free_stages_alone_goes_to_any_pool() -> None:
    assert legs([("decode", "any"), ("render", "any")], None, [GPU]) == (Leg("gpu-tiny", ("decode", "render")),)


@pytest.mark.parametrize(
    ("model", "pools", "sentence"),
    [
        ("large", [GPU, BASE], "no pool serves the model 'large'; models served here: base, tiny.en"),
        (None, [CPU], "no pool serves the lane 'gpu'"),
        (None, [], "no pool is registered here"),
    ],
)
def test_what_nobody_serves_is_refused_with_what_is_served(model: str | None, pools: list[Pool], sentence: str) -> None:
    with pytest.raises(NoPool, match=sentence):
        legs(FULL, model, pools)


lanes = st.sampled_from(["any", "cpu", "gpu"])
pool_sets = st.lists(
    st.builds(
        Pool,
        name=st.sampled_from(["a", "b", "c", "d"]),
        model=st.just("tiny.en"),
        lanes=st.frozensets(st.sampled_from(["cpu", "gpu"]), min_size=1),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda pool: pool.name,
)


@given(wanted=st.lists(lanes, min_size=1, max_size=8), pools=pool_sets)
def test_every_stage_runs_once_in_order_and_where_its_lane_is_served(wanted: list[str], pools: list[Pool]) -> None:
    stages = [(f"s{number}", lane) for number, lane in enumerate(wanted)]
    served = frozenset[str]().union(*(pool.lanes for pool in pools))
    if not {lane for lane in wanted if lane != "any"} <= served:
        with pytest.raises(NoPool):
            legs(stages, None, pools)
        return
    cut = legs(stages, None, pools)
    assert [stage for leg in cut for stage in leg.stages] == [name for name, _ in stages]
    by_name = {pool.name: pool for pool in pools}
    lane_of = dict(stages)
    for leg in cut:
        assert {lane_of[stage] for stage in leg.stages} - {"any"} <= by_name[leg.pool].lanes
    assert all(a.pool != b.pool for a, b in pairwise(cut))


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "Upper"},
        {"name": "-a"},
        {"name": "a" * 41},
        {"name": ""},
        {"lanes": frozenset({"tpu"})},
        {"lanes": frozenset()},
        {"concurrency": 0},
        {"target_wait": 0.0},
    ],
)
def test_a_pool_that_cannot_be_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        Pool(**fields)  # type: ignore[arg-type]
