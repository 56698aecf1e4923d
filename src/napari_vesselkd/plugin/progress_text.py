"""How progress, rates and durations read. No Qt."""

from napari_vesselkd.reports import Progress


def describe_progress_of(progress: Progress, *, ended: bool, finished: bool) -> list[str]:
    """Return ``12 of 30 blocks`` with what it took, or with the rate and the time left."""
    parts = [f"{progress.done} of {progress.total} {progress.unit}"]
    if finished:
        parts.append(f"in {duration(progress.seconds)}")
    elif not ended and progress.rate > 0:
        parts += [rate(progress), f"{duration(progress.seconds_left or 0.0)} left"]
    return parts


def duration(seconds: float) -> str:
    """Return ``8 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def rate(progress: Progress) -> str:
    """Return ``2.3 blocks/s``, or ``14 s per block`` where that reads better."""
    if progress.rate >= 0.5:
        return f"{progress.rate:.2g} {progress.unit}/s"
    return f"{duration(1 / progress.rate)} per {progress.unit.removesuffix('s')}"
