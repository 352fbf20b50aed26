"""Runs the API and the worker as child processes, and keeps them running. Knows neither: programs are data."""
