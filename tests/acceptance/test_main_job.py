"""The main job: a recording goes in over HTTP, and comes back as transcript, word times, pitch and sentiment."""

import json
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from tests.acceptance.installation import CLIPS, Installation


def words_of(text: str) -> list[str]:
    return "".join(letter for letter in text.lower() if letter.isalpha() or letter.isspace()).split()


def test_the_main_job_runs_on_every_combination_of_backends(anywhere: Installation, short_recording: Path) -> None:
    anywhere.start_api()
    anywhere.start_worker()
    job = anywhere.submit(short_recording)
    lived = [(event, number) for event, number, _ in anywhere.events(job) if number is not None]
    assert lived == [("state", 1), ("state", 2), ("result", 3)]
    assert "dashwood" in anywhere.result(job)["text"].lower()
    with anywhere.client() as client:
        sound = client.get(f"/v1/jobs/{job}/result/pitch.csv", headers={"Range": "bytes=0-4"})
        assert (sound.status_code, sound.text) == (206, "time,")
        assert client.delete(f"/v1/jobs/{job}").status_code == 204
        assert client.get(f"/v1/jobs/{job}").status_code == 410


def test_a_clip_comes_back_as_words_pitch_and_sentiment(running: Installation, short_recording: Path) -> None:
    job = running.submit(short_recording)
    ended = running.wait_until_ended(job)
    assert (ended["state"], ended["progress"], ended["attempt"], ended["error"]) == ("succeeded", 100.0, 1, None)
    assert ended["audio_seconds"] == pytest.approx(7.1, abs=0.01)
    result = running.result(job)
    clips = json.loads((CLIPS / "manifest.json").read_text())
    [script] = [clip["text"] for clip in clips if clip["id"] == short_recording.stem]
    spoken, heard = words_of(script), words_of(result["text"])
    assert len(set(spoken) & set(heard)) >= 0.9 * len(set(spoken))
    words = result["words"]
    assert words_of(" ".join(word["word"] for word in words)) == heard
    assert all(0 <= word["start"] <= word["end"] <= result["duration"] + 0.01 for word in words)
    assert all(first["start"] <= second["start"] for first, second in pairwise(words))
    assert 75 < result["pitch"]["median"] < 400
    assert len(result["pitch"]["frequency"]) == len(result["pitch"]["semitones"]) == len(result["pitch"]["voiced"])
    assert result["sentiment"]["label"] in ("positive", "neutral", "negative")
    assert result["model"] == "tiny.en"


def test_every_format_is_served_with_its_type(running: Installation, short_recording: Path) -> None:
    job = running.submit(short_recording)
    running.wait_until_ended(job)
    with running.client() as client:
        formats = {
            name: client.get(f"/v1/jobs/{job}/result/{name}").raise_for_status()
            for name in ("transcript.txt", "transcript.srt", "transcript.vtt", "words.TextGrid", "pitch.csv")
        }
    assert "Dashwood" in formats["transcript.txt"].text
    assert formats["transcript.srt"].text.startswith("1\n00:00:0")
    assert formats["transcript.vtt"].text.startswith("WEBVTT")
    assert 'File type = "ooTextFile"' in formats["words.TextGrid"].text
    assert formats["pitch.csv"].text.startswith("time,")
    assert formats["transcript.vtt"].headers["content-type"].startswith("text/vtt")
    assert formats["pitch.csv"].headers["content-type"].startswith("text/csv")


def test_the_history_tells_the_life_of_a_job_and_is_replayed_from_any_event(
    running: Installation, short_recording: Path
) -> None:
    job = running.submit(short_recording)
    lived = [(event, number) for event, number, _ in running.events(job) if number is not None]
    assert lived == [("state", 1), ("state", 2), ("result", 3)]
    replayed = httpx.get(f"{running.url}/v1/jobs/{job}/events", headers={"Last-Event-ID": "2"}, timeout=10)
    assert [line for line in replayed.text.splitlines() if line.startswith("id:")] == ["id: 3"]


def test_health_and_metrics_answer_while_a_worker_decodes(running: Installation, long_recording: Path) -> None:
    job = running.submit(long_recording, pipeline="transcribe")
    running.wait_until_transcribing(job)
    worker = running.programs[1].wait_for("worker ready")["health"]
    with running.client() as api, httpx.Client(base_url=f"http://127.0.0.1:{worker}") as health:
        for client in (api, health):
            for path in ("/healthz", "/readyz", "/metrics"):
                answer = client.get(path)
                assert answer.status_code == 200
                assert answer.elapsed.total_seconds() < 1.0  # milliseconds by measurement: docs/reference/benchmarks.md
        assert (
            'antiphon_stage_seconds_count{outcome="done",pool="default",stage="decode"}' in health.get("/metrics").text
        )
        api.post(f"/v1/jobs/{job}/cancel").raise_for_status()


def test_a_deleted_job_leaves_no_blob_and_no_row(running: Installation, short_recording: Path) -> None:
    job = running.submit(short_recording)
    running.wait_until_ended(job)
    blobs = running.data / "files" / "blobs" / "standard" / "default" / job
    assert (blobs / "source").exists()
    with running.client() as client:
        assert client.delete(f"/v1/jobs/{job}").status_code == 204
        assert client.get(f"/v1/jobs/{job}").status_code == 410
    assert not blobs.exists()


def test_a_job_deleted_while_it_runs_stops_and_leaves_nothing(running: Installation, long_recording: Path) -> None:
    job = running.submit(long_recording, pipeline="transcribe")
    running.wait_until_transcribing(job)
    with running.client() as client:
        assert client.delete(f"/v1/jobs/{job}").status_code == 204
    running.wait_for_depth(available=0, in_flight=0)
    assert not (running.data / "files" / "blobs" / "standard" / "default" / job).exists()
    assert list((running.data / "scratch").iterdir()) == []
