"""A Hugging Face cache as huggingface_hub lays it out: blobs, snapshots of links to them, refs."""

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

FIRST, SECOND = "0a" * 20, "1b" * 20
"""Two commits."""


def cache_model(
    hub: Path, repository: str, folder: Path, *, commit: str = FIRST, refs: Sequence[str] = ("main",)
) -> Path:
    """Put a model folder into a cache as one commit, and let refs stand for it; its snapshot is returned."""
    root = hub / f"models--{repository.replace('/', '--')}"
    snapshot, blobs = root / "snapshots" / commit, root / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    for path in (p for p in folder.rglob("*") if p.is_file()):
        link = snapshot / path.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        blob = blobs / hashlib.sha256(path.read_bytes()).hexdigest()
        shutil.copyfile(path, blob)
        link.symlink_to(os.path.relpath(blob, link.parent))
    for ref in refs:
        (root / "refs" / ref).parent.mkdir(parents=True, exist_ok=True)
        (root / "refs" / ref).write_text(commit)
    return snapshot
