"""Libraries that would call home: told not to, in one place, before they are imported.

Which library asks what was found by watching its system calls (`benchmarks/torture/offline.py`).
"""

import os
from collections.abc import Mapping

TELEMETRY: Mapping[str, str] = {
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime asks mobile.events.data.microsoft.com, 10 s after import
    "VLLM_NO_USAGE_STATS": "1",  # vLLM: sends its version, the processor and the model's architecture
    "VLLM_DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",  # huggingface_hub
    "DO_NOT_TRACK": "1",  # vLLM, huggingface_hub and others
}
"""Whatever the user's environment says: figures about this program's runs are sent to nobody."""
HUB: Mapping[str, str] = {
    "HF_HUB_OFFLINE": "1",  # huggingface_hub, and whatever asks it: transformers, optimum, vLLM
    "TRANSFORMERS_OFFLINE": "1",
}
"""Files that a model lacks are looked for on no server."""


def silence_telemetry() -> None:
    """Let no library send figures. Rooms that run models call it before they import any."""
    os.environ.update(TELEMETRY)


def stay_offline() -> None:
    """Let no library ask the network for anything: for processes that are this program's alone.

    A notebook is its user's, who may well fetch a model there in the next cell.
    """
    silence_telemetry()
    os.environ.update(HUB)
