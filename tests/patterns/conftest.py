"""Teachers for tests of codes."""

from __future__ import annotations

import pytest

from coding import write_teacher


@pytest.fixture(scope="session")
def teacher(tmp_path_factory):
    """Return the path of a small teacher with 16 codes, all of them in use."""
    return write_teacher(tmp_path_factory.mktemp("teacher") / "t.safetensors")
