"""Measurements: cases, runners, and their committed results."""
