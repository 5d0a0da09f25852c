from __future__ import annotations

from pathlib import Path

from pipeline.ledger import Tally
from pipeline.prepare import UnitRows, read_finished_tally, write_unit
from pipeline.storage.layout import Layout


def test_a_unit_is_finished_when_its_files_have_the_rows_of_its_tally(tmp_path):
    layout = Layout(str(tmp_path), "key")
    assert read_finished_tally("unit", layout) is None
    write_unit("unit", UnitRows(), layout)
    assert read_finished_tally("unit", layout) == Tally()
    Path(layout.unit("drops", "unit")).write_bytes(b"PAR1")
    assert read_finished_tally("unit", layout) is None
    write_unit("unit", UnitRows(tally=Tally(pages=1, kept=1)), layout)  # a tally of other rows
    assert read_finished_tally("unit", layout) is None
    Path(layout.unit("tally", "unit")).write_bytes(b"{}")
    assert read_finished_tally("unit", layout) is None
