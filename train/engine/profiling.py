"""A torch profiler trace of a few steps, for chrome://tracing or Perfetto."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, schedule

TRACE = "trace.json"


def profiler(folder: Path) -> profile:
    """Skips two steps, warms up for one and records three, once, into ``trace.json``."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
    return profile(
        activities=activities,
        schedule=schedule(wait=2, warmup=1, active=3, repeat=1),
        on_trace_ready=lambda done: done.export_chrome_trace(str(folder / TRACE)),
        record_shapes=True,
    )
