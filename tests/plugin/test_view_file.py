"""view.json: where the user was, never worth an error."""

import json

import pytest

from napari_vesselkd.plugin.view_file import NAME, View, load_view, save_view

VIEW = View("Correct", 3, 2, (1.0, 2.0, 3.0), (0.0, 4.0, 5.0), 2.5, (0.0, 0.0, 90.0))


def test_a_view_comes_back(tmp_path):
    assert save_view(tmp_path, VIEW)
    assert load_view(tmp_path) == (VIEW, None)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        '{"version": 1}',
        '{"version": 1, "zoom": "x"}',
        "\xff",
        '{"version": 1, "zoom": NaN}',
    ],
)
def test_a_broken_view_is_ignored_with_a_notice(tmp_path, text):
    (tmp_path / NAME).write_text(text, encoding="latin-1")
    view, notice = load_view(tmp_path)
    assert view is None
    assert "view.json" in notice


@pytest.mark.parametrize("change", [{"zoom": 0}, {"zoom": float("nan")}, {"ndisplay": 4}, {"centre": [1, 2]}])
def test_senseless_numbers_are_ignored(tmp_path, change):
    save_view(tmp_path, VIEW)
    values = json.loads((tmp_path / NAME).read_text())
    (tmp_path / NAME).write_text(json.dumps({**values, **change}))
    assert load_view(tmp_path)[0] is None


def test_one_of_a_newer_version_and_none_at_all_are_silent(tmp_path):
    assert load_view(tmp_path) == (None, None)
    (tmp_path / NAME).write_text('{"version": 99}')
    assert load_view(tmp_path) == (None, None)


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path):
    assert not save_view(tmp_path / "gone", VIEW)
