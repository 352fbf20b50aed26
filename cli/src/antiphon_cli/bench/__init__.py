"""Benchmarks: what Antiphon does, measured in one run beside what it is to be compared with (`antiphon bench`).

A bench is a folder with a `measure.py`; `catalogue.py` lists them. The files here are what all of them share.
"""
