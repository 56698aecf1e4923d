from __future__ import annotations

import pytest

from napari_vesselkd.volume.units import um_per


@pytest.mark.parametrize(
    ("unit", "um"),
    [
        ("micrometer", 1),
        ("µm", 1),
        ("μm", 1),
        ("\ufffdm", 1),
        ("Âµm", 1),
        (" UM ", 1),
        ("nm", 1e-3),
        ("mm", 1e3),
        ("meter", 1e6),
    ],
)
def test_lengths_are_known(unit: str, um: float) -> None:
    assert um_per(unit) == um


@pytest.mark.parametrize("unit", [None, "", "pixel", "fm", "second", "unknown"])
def test_what_is_no_length_is_unknown(unit: str | None) -> None:
    assert um_per(unit) is None
