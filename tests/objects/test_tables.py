import csv
import sys
from typing import Any

import pytest

from segue.errors import UsageError
from segue.objects.tables import check_parquet, write_csv, write_parquet

TABLE: dict[str, list[Any]] = {
    "id": [3, 7],
    "class": ["cell", 'µ, "x"'],
    "area_px": [18.0, 1.0],
    "orientation": [90.0, None],
    "touches_border": [False, True],
}


def test_csv_holds_every_value_and_an_empty_cell_for_none(tmp_path):
    write_csv(tmp_path / "a.csv", TABLE)
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {"id": "3", "class": "cell", "area_px": "18.0", "orientation": "90.0", "touches_border": "False"}
    assert rows[1]["class"] == 'µ, "x"'
    assert rows[1]["orientation"] == ""
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_parquet_read_back_is_the_same_table(tmp_path):
    from pyarrow import parquet

    write_parquet(tmp_path / "a.parquet", TABLE)
    assert parquet.read_table(tmp_path / "a.parquet").to_pydict() == TABLE
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def test_the_types_of_a_parquet_table_do_not_depend_on_its_rows(tmp_path):
    from pyarrow import parquet

    write_parquet(tmp_path / "some.parquet", TABLE)
    write_parquet(tmp_path / "none.parquet", {name: [] for name in TABLE})
    some, none = (parquet.read_schema(tmp_path / f"{name}.parquet") for name in ("some", "none"))
    assert some == none
    assert [str(kind) for kind in none.types] == ["int64", "string", "double", "double", "bool"]


def test_without_pyarrow_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match="a Parquet table needs pyarrow; install it with: pip install pyarrow"):
        check_parquet()
    with pytest.raises(UsageError, match="pip install pyarrow"):
        write_parquet(tmp_path / "a.parquet", TABLE)
    assert list(tmp_path.iterdir()) == []
