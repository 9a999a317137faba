"""``make torture`` writes the table of docs/faults.md, and nothing else of the page."""

import pytest
import torture


def test_the_table_of_the_page_has_the_columns_that_the_program_writes():
    text = torture._PAGE.read_text("utf-8")
    head, rule = torture._table([]).splitlines()
    table = text.split(torture._BEGIN)[1].split(torture._END)[0].strip().splitlines()
    assert table[:2] == [head, rule]
    # The full file system needs root, and may be missing.
    assert len(torture._FAULTS) - 1 <= len(table) - 2 <= len(torture._FAULTS)


def test_writing_replaces_the_table_only(tmp_path, monkeypatch):
    page = tmp_path / "faults.md"
    page.write_text(f"Before.\n{torture._BEGIN}\nold\n{torture._END}\nAfter.\n", "utf-8")
    monkeypatch.setattr(torture, "_PAGE", page)
    torture._write("new")
    assert page.read_text("utf-8") == f"Before.\n{torture._BEGIN}\nnew\n{torture._END}\nAfter.\n"


def test_a_page_without_markers_is_refused_and_stays(tmp_path, monkeypatch):
    page = tmp_path / "faults.md"
    page.write_text("No table.", "utf-8")
    monkeypatch.setattr(torture, "_PAGE", page)
    with pytest.raises(SystemExit, match="add both"):
        torture._write("new")
    assert page.read_text("utf-8") == "No table."
