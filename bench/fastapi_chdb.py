"""What a user would otherwise write: FastAPI over chDB, a connection per thread, default settings,
no tokens and no templates. Run by `bench/__main__.py`:

    python bench/fastapi_chdb.py DATA_PATH DATABASE PORT
"""

from __future__ import annotations

import sys
import threading
from typing import Any

import chdb
import uvicorn
from fastapi import FastAPI, Response

PATH, DATABASE, PORT = sys.argv[1:4]
app = FastAPI()
local = threading.local()


def query(sql: str, **params: Any) -> Response:
    connection = getattr(local, "connection", None)
    if connection is None:
        connection = local.connection = chdb.connect(PATH)
        connection.query(f"USE {DATABASE}")
    answer = connection.query(sql, "JSON", params=params)
    return Response(answer.bytes(), media_type="application/json")


@app.get("/ping")
def ping() -> Response:
    return query("SELECT 1 AS ok")


@app.get("/aircraft")
def aircraft(tailnum: str) -> Response:
    return query(
        """
        SELECT tailnum, manufacturer, model, type, year AS built, engines, engine, seats,
            speed AS speed_mph
        FROM planes WHERE tailnum = {tailnum:String}
        """,
        tailnum=tailnum,
    )


@app.get("/carrier_delays")
def carrier_delays(carrier: str) -> Response:
    return query(
        """
        SELECT carrier, toStartOfMonth(date) AS month_start, count() AS flights,
            countIf(cancelled) AS cancelled_flights, quantileExact(0.5)(dep_delay) AS p50,
            quantileExact(0.9)(dep_delay) AS p90, quantileExact(0.99)(dep_delay) AS p99,
            max(dep_delay) AS longest
        FROM flights WHERE carrier = {carrier:String}
        GROUP BY carrier, month_start ORDER BY carrier, month_start
        """,
        carrier=carrier,
    )


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(PORT), access_log=False, log_level="warning")
