"""Fixtures of the engine's tests."""

import os

import pytest


@pytest.fixture
def fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting for the disk: only a power failure could tell the difference."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
