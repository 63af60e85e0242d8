"""Worlds whose truth is known, to run the whole pipeline on."""
