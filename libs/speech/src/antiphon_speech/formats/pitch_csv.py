"""The pitch contour as a table, for R, pandas and spreadsheets."""

import csv
import io

from antiphon_speech.results import Result

HEADER = ("time", "frequency_hz", "semitones", "voiced")


def write(result: Result) -> bytes:
    """RFC 4180, with a header: a row for each frame; no frequency and semitones where unvoiced; voiced is 1 or 0."""
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(HEADER)
    if (pitch := result.pitch) is not None:
        frames = zip(pitch.frequency, pitch.semitones, pitch.voiced, strict=True)
        for number, (frequency, semitones, voiced) in enumerate(frames):
            table.writerow((round(pitch.start + number * pitch.step, 6), frequency, semitones, int(voiced)))
    return out.getvalue().encode()
