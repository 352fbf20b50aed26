"""The stage table against the plan that the API makes, and the embedded analysis on a real clip."""

import json
from pathlib import Path

import pytest

from antiphon_speech.audio import AudioLimits
from antiphon_speech.engines import Engines, EngineSettings, load_engines
from antiphon_speech.errors import AudioUndecodable
from antiphon_speech.options import AVAILABLE, AnalysisOptions, Stage
from antiphon_worker.stages import STAGES, Work, analyse, assemble, run

CLIP = Path(__file__).parents[3] / "tests" / "data" / "clips" / "librivox_0880.wav"


@pytest.fixture(scope="module")
def engines() -> Engines:
    return load_engines(EngineSettings())


def silent(_: float) -> None:
    """Nobody watches."""


def test_every_stage_that_is_offered_can_be_run() -> None:
    assert set(STAGES) | {Stage.RENDER} == AVAILABLE


def test_stages_leave_different_artifacts() -> None:
    names = [row.leaves for row in STAGES.values()]
    assert len(set(names)) == len(names)


def test_the_embedded_analysis_leaves_every_artifact_and_tells_every_stage(engines: Engines) -> None:
    told: list[tuple[Stage, float]] = []
    produced = analyse(
        CLIP,
        AnalysisOptions(),
        engines,
        limits=AudioLimits(),
        on_progress=lambda stage, share: told.append((stage, share)),
    )
    by_name = {item.name: item for item in produced}
    result = json.loads(by_name["result.json"].data)
    assert "young man" in result["text"]
    assert result["sentiment"]["engine"]
    assert result["pitch"]["median"] > 60
    assert set(result["timings"]) == {"decode", "transcribe", "pitch", "sentiment"}
    assert {"transcript.txt", "transcript.srt", "transcript.vtt", "words.TextGrid", "pitch.csv"} <= set(by_name)
    finished = [stage for stage, share in told if share == 1.0]
    assert list(dict.fromkeys(finished)) == list(dict.fromkeys(stage for stage, _ in told))


def test_a_pipeline_of_one_stage_leaves_the_rest_out(engines: Engines) -> None:
    options = AnalysisOptions(pipeline=[Stage.PITCH])
    produced = analyse(CLIP, options, engines, limits=AudioLimits(), on_progress=lambda *_: None)
    result = json.loads(next(item.data for item in produced if item.name == "result.json"))
    assert result["pitch"] is not None
    assert (result["text"], result["words"], result["sentiment"]) == (None, None, None)


def test_a_resumed_work_gives_the_result_of_one_that_was_never_interrupted(engines: Engines) -> None:
    whole = Work(CLIP, AnalysisOptions(), AudioLimits())
    left = {
        item.name: item.data
        for stage in (Stage.DECODE, Stage.TRANSCRIBE, Stage.PITCH, Stage.SENTIMENT)
        for item in run(stage, whole, engines, silent)
    }
    resumed = Work(CLIP, AnalysisOptions(), AudioLimits(), timings=dict(whole.timings))
    resumed.restore({name: data for name, data in left.items() if name != "sentiment.json"})
    run(Stage.SENTIMENT, resumed, engines, silent)
    resumed.timings["sentiment"] = whole.timings["sentiment"]
    assert assemble(resumed) == assemble(whole)


def test_what_is_not_audio_fails_in_decode(engines: Engines, tmp_path: Path) -> None:
    fake = tmp_path / "fake.wav"
    fake.write_text("this is a letter to my bank")
    with pytest.raises(AudioUndecodable):
        run(Stage.DECODE, Work(fake, AnalysisOptions(), AudioLimits()), engines, silent)
