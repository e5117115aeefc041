"""A table in a file: CSV for everybody, Parquet for programs that want types."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from segue.errors import UsageError
from segue.io.files import whole_file, write_whole

Table = dict[str, list[Any]]
"""Columns by name, all of one length; a value that does not exist is None."""

TableFormat = Literal["csv", "parquet"]


def write_csv(path: Path, table: Mapping[str, Sequence[Any]]) -> None:
    """Write a table as CSV (comma, point, UTF-8, empty for None), whole or not at all.

    Raises CannotCreateError or StorageError.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    write_whole(path, text.getvalue().encode())


def write_parquet(path: Path, table: Mapping[str, Sequence[Any]]) -> None:
    """Write a table of objects as Parquet, whole or not at all.

    `id` is int64, `class` a text, `touches_border` a truth value and everything else float64, also where a table has
    no rows. None is null. Raises UsageError without pyarrow, CannotCreateError or StorageError.
    """
    check_parquet()
    import pyarrow as pa
    from pyarrow import parquet

    kinds = {"id": pa.int64(), "class": pa.string(), "touches_border": pa.bool_()}
    schema = pa.schema([(name, kinds.get(name, pa.float64())) for name in table])
    with whole_file(path) as temporary:
        parquet.write_table(pa.table(dict(table), schema=schema), str(temporary))


def check_parquet() -> None:
    """Raise UsageError, with the way out, if pyarrow is not installed."""
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise UsageError("a Parquet table needs pyarrow; install it with: pip install pyarrow") from error
