"""Units of length, as the file formats spell them, in micrometres."""

from __future__ import annotations

_UM = {
    "angstrom": 1e-4,
    "å": 1e-4,
    "nanometer": 1e-3,
    "nanometre": 1e-3,
    "nm": 1e-3,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "um": 1.0,
    "\\u00b5m": 1.0,
    "millimeter": 1e3,
    "millimetre": 1e3,
    "mm": 1e3,
    "centimeter": 1e4,
    "centimetre": 1e4,
    "cm": 1e4,
    "inch": 2.54e4,
    "decimeter": 1e5,
    "meter": 1e6,
    "metre": 1e6,
    "m": 1e6,
    "kilometer": 1e9,
}


def um_per(unit: str | None) -> float | None:
    """Return how many um one `unit` is, or None for a unit that is no known length (pixel, empty, ...)."""
    name = unit.strip().lower() if unit else ""
    if len(name) > 1 and name[-1] == "m" and not any(letter.isascii() for letter in name[:-1]):
        return 1.0  # a micro sign, also one that went through the wrong encoding
    return _UM.get(name)
