"""What a slot loads."""

import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from antiphon_speech.engines import EngineSettings, load_engines
from antiphon_speech.errors import EngineUnavailable
from antiphon_speech.options import AnalysisOptions


def test_loaded_engines_are_ready_to_use(speech: NDArray[np.float32]) -> None:
    engines = load_engines(EngineSettings(threads=2))
    transcript = engines.transcriber.transcribe(speech, AnalysisOptions())
    assert "amiable himself" in transcript.text
    assert engines.sentiment.analyse(transcript.text).engine == "vader"


def test_a_model_that_is_not_there_stops_the_slot() -> None:
    with pytest.raises(EngineUnavailable):
        load_engines(EngineSettings(model="tiny.xx"))


@pytest.mark.parametrize("module", ["results", "options", "errors", "languages"])
def test_what_the_api_imports_loads_no_engine(module: str) -> None:
    heavy = ("av", "numpy", "faster_whisper", "ctranslate2", "parselmouth", "onnxruntime", "vaderSentiment")
    program = f"import sys, antiphon_speech.{module}; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"
