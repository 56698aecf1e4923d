"""An image on disk and a project of it."""

from __future__ import annotations

import pytest

from projects import new_project, write_image


@pytest.fixture(scope="session")
def image_path(tmp_path_factory):
    return write_image(tmp_path_factory.mktemp("image") / "brain.ome.zarr")


@pytest.fixture
def project(tmp_path, image_path):
    with new_project(tmp_path / "a.vesselkd", image_path) as project:
        yield project
