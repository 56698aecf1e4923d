"""Fixtures shared by all tests."""

import gc
import os
from pathlib import Path

import pytest

# As napari_vesselkd.models does it, but before any test loads torch: threads sleep while they wait.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(scope="session")
def vesselkd_data() -> Path:
    """Return the folder of real volumes, or skip where there is none."""
    folder = os.environ.get("VESSELKD_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("real volumes: set VESSELKD_DATA to their folder")
    return Path(folder)


@pytest.fixture(scope="session", autouse=True)
def own_list_of_jobs(tmp_path_factory):
    """Jobs that tests start are not noted among those of the person who runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="module", autouse=True)
def little_to_collect():
    """The collector leaves what is loaded alone, and looks through the rest less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(700, 10, 50)
