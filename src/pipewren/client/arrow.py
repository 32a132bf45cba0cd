"""An endpoint's answer as an Arrow table, by way of its Parquet format.

pyarrow is loaded when a table is asked for: `pip install pipewren[arrow]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from pipewren.client.errors import InvalidArgument
from pipewren.client.exchange import Target, fetch, unreadable
from pipewren.client.parameters import Parameters
from pipewren.client.requests import endpoint_request
from pipewren.client.retries import with_retries
from pipewren.client.steps import Steps

if TYPE_CHECKING:
    import pyarrow

    Table: TypeAlias = pyarrow.Table


def query_table(target: Target, pipe: str, parameters: Parameters) -> Steps[Table]:
    """Text columns are Arrow strings (`output_format_parquet_string_as_string`).

    Raises InvalidArgument when pyarrow is not installed, before anything is sent, and
    UnreadableAnswer for a body that is not Parquet.
    """
    pyarrow, parquet = _load_pyarrow()
    request = endpoint_request(
        target.base_url, pipe, "parquet", parameters, output_format_parquet_string_as_string="1"
    )
    answer = yield from with_retries(
        lambda: fetch(target, request), target.policy, target.clock, label=request.label
    )
    try:
        table: Table = parquet.read_table(pyarrow.BufferReader(answer.body))
        return table
    except (pyarrow.ArrowException, OSError) as error:  # a cut file is an OSError of pyarrow's
        why = f"it is not Parquet: {error}"
    raise unreadable(target, request, answer.head, why)


def _load_pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InvalidArgument(
            "An Arrow table needs pyarrow, which is not installed: pip install 'pipewren[arrow]'"
        ) from None
    return pyarrow, pyarrow.parquet
