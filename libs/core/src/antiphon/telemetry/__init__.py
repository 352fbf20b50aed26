"""Subscribers of `antiphon.hooks`: what the programs tell about themselves."""
