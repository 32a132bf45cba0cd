"""What the endpoints of `examples/flights` must answer, worked out by DuckDB and plain Python from
the prepared CSV files: no code, no SQL and no engine is shared with the server.

A share or a mean is kept as an exact fraction until it is rounded, half to even. A percentile is
the value at position floor(level * n), counted from 0, of the n sorted values.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb

Row = dict[str, Any]
NULL = r"\N"
FIRST_DAY, LAST_DAY = "2013-01-01", "2013-12-31"
SEVERITY = ("unknown", "fair", "rough", "severe")
BANDS = {
    "wind": "CASE WHEN wind_speed IS NULL THEN 0 ELSE 1 + (wind_speed >= 15)::INT "
    "+ (wind_speed >= 25)::INT END",
    "visibility": "1 + (visib < 5)::INT + (visib < 1)::INT",
    "rain": "1 + (precip > 0)::INT + (precip >= 0.1)::INT",
}


@dataclass(frozen=True, slots=True)
class Figures:
    """A method for each endpoint: its rows, for the same parameters. Lists are lists here."""

    database: Any  # a DuckDB connection, which has no types

    def rows(self, sql: str, *values: object) -> list[Row]:
        answer = self.database.execute(sql, list(values))
        names = [column[0] for column in answer.description]
        return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]

    def ping(self) -> list[Row]:
        return [{"ok": 1}]

    def aircraft(self, tailnum: str) -> list[Row]:
        return self.rows(
            """SELECT tailnum, manufacturer, model, type, year AS built, engines, engine, seats,
            speed AS speed_mph FROM planes WHERE tailnum = ?""",
            tailnum,
        )

    def aircraft_flights(
        self,
        tailnum: str,
        page: int = 0,
        page_size: int = 25,
        order: str = "desc",
        include_cancelled: str = "true",
    ) -> list[Row]:
        found = self.rows(
            """SELECT time_hour, minute, carrier, flight, origin, dest, day_local,
            dep_time IS NULL AS cancelled, dep_delay, arr_delay, distance
            FROM flights WHERE tailnum = ?""",
            tailnum,
        )
        for row in found:
            row["at"] = row["time_hour"] + timedelta(minutes=row["minute"])
        if include_cancelled == "false":
            found = [row for row in found if not row["cancelled"]]
        found.sort(key=lambda row: (row["carrier"], row["flight"], row["origin"]))
        found.sort(key=lambda row: row["at"], reverse=order == "desc")
        return [
            {
                "scheduled_at": row["at"].strftime("%Y-%m-%d %H:%M:%S"),
                "date": row["day_local"].isoformat(),
                **{name: row[name] for name in ("carrier", "flight", "origin", "dest")},
                "cancelled": row["cancelled"],
                "departure_delay_minutes": row["dep_delay"],
                "arrival_delay_minutes": row["arr_delay"],
                "distance_miles": row["distance"],
            }
            for row in found[page * page_size : (page + 1) * page_size]
        ]

    def airport_search(
        self,
        text: str,
        limit: int = 10,
        timezone: str | None = None,
        min_altitude_feet: int | None = None,
        max_altitude_feet: int | None = None,
    ) -> list[Row]:
        wanted = text.lower()
        found = [
            row
            for row in self.rows(
                """SELECT faa AS code, name, lat AS latitude, lon AS longitude,
                alt AS altitude_feet, tzone AS timezone FROM airports"""
            )
            if (row["code"] == text.upper() or wanted in row["name"].lower())
            and (timezone is None or row["timezone"] == timezone)
            and (min_altitude_feet is None or row["altitude_feet"] >= min_altitude_feet)
            and (max_altitude_feet is None or row["altitude_feet"] <= max_altitude_feet)
        ]
        found.sort(
            key=lambda row: (
                row["code"] != text.upper(),
                not row["name"].lower().startswith(wanted),
                row["name"],
                row["code"],
            )
        )
        return found[:limit]

    def busiest_routes(
        self,
        start_date: str = FIRST_DAY,
        end_date: str = LAST_DAY,
        origin: str | None = None,
        carriers: Sequence[str] | None = None,
        sort_by: str = "flights",
        limit: int = 10,
    ) -> list[Row]:
        found = self.rows(
            """SELECT origin, dest, max(distance) AS distance_miles, count(*) AS flights,
            count(*) - count(dep_time) AS cancelled_flights,
            count(DISTINCT carrier) AS airlines_flying, sum(dep_delay)::BIGINT AS minutes,
            count(dep_delay) AS departed
            FROM flights WHERE day_local >= ?::DATE AND day_local <= ?::DATE
            AND (?::VARCHAR IS NULL OR origin = ?) AND (?::VARCHAR[] IS NULL
            OR list_contains(?::VARCHAR[], carrier)) GROUP BY origin, dest""",
            *(start_date, end_date, origin, origin, carriers, carriers),
        )
        names = {row["faa"]: row["name"] for row in self.rows("SELECT faa, name FROM airports")}
        for row in found:
            row["destination"] = names.get(row["dest"], "")
            row["mean_departure_delay"] = mean(row.pop("minutes"), row.pop("departed"))
        return highest(found, sort_by, ("origin", "dest"))[:limit]

    def carrier_delays(self, carrier: str | None = None, delay: str = "departure") -> list[Row]:
        measure = {"departure": "dep_delay", "arrival": "arr_delay"}[delay]
        found = self.rows(
            f"""SELECT carrier, month, count(*) AS flights,
            count(*) - count(dep_time) AS cancelled_flights,
            list({measure} ORDER BY {measure}) FILTER ({measure} IS NOT NULL) AS delays
            FROM flights WHERE ?::VARCHAR IS NULL OR carrier = ?
            GROUP BY carrier, month ORDER BY carrier, month""",
            *(carrier, carrier),
        )
        return [
            {
                "carrier": row["carrier"],
                "month_start": f"2013-{row['month']:02}-01",
                "flights": row["flights"],
                "cancelled_flights": row["cancelled_flights"],
                "p50": percentile(row["delays"], 50),
                "p90": percentile(row["delays"], 90),
                "p99": percentile(row["delays"], 99),
                "longest": max(row["delays"] or [], default=None),
            }
            for row in found
        ]

    def carrier_totals(
        self,
        start_date: str = FIRST_DAY,
        end_date: str = LAST_DAY,
        origins: Sequence[str] | None = None,
        late_minutes: int = 15,
    ) -> list[Row]:
        return self.rows(
            """SELECT carrier, count(*) AS flights,
            count(*) - count(dep_time) AS cancelled_flights,
            count(*) FILTER (arr_delay < ?::INT) AS on_time_flights,
            sum(arr_delay)::BIGINT AS arrival_delay_minutes, count(arr_delay) AS arrived_flights
            FROM flights WHERE day_local BETWEEN ?::DATE AND ?::DATE
            AND (?::VARCHAR[] IS NULL OR list_contains(?::VARCHAR[], origin))
            GROUP BY carrier ORDER BY carrier""",
            *(late_minutes, start_date, end_date, origins, origins),
        )

    def carrier_ranking(self, min_flights: int = 1, **totals: Any) -> list[Row]:
        names = {row["carrier"]: row["name"] for row in self.rows("SELECT * FROM airlines")}
        ranked = [
            {
                "carrier": row["carrier"],
                "airline": names[row["carrier"]],
                "flights": row["flights"],
                "on_time_percent": percent(row["on_time_flights"], row["flights"], 1),
                "cancelled_percent": percent(row["cancelled_flights"], row["flights"], 1),
                "mean_arrival_delay_minutes": mean(
                    row["arrival_delay_minutes"], row["arrived_flights"]
                ),
            }
            for row in self.carrier_totals(**totals)
            if row["flights"] >= min_flights
        ]
        for row in ranked:
            better = [other["on_time_percent"] > row["on_time_percent"] for other in ranked]
            row["place"] = 1 + sum(better)
        return sorted(ranked, key=lambda row: (row["place"], row["carrier"]))

    def carrier_podium(self, places: int = 3, **ranking: Any) -> list[Row]:
        ranked = self.carrier_ranking(**ranking)
        best = max((row["on_time_percent"] for row in ranked), default=0)
        return [
            {
                "standing": "best" if row["place"] <= places else "worst",
                **{name: row[name] for name in ("place", "carrier", "airline", "on_time_percent")},
                "behind_the_best": round(best - row["on_time_percent"], 1),
            }
            for number, row in enumerate(ranked)
            if row["place"] <= places or number >= len(ranked) - places
        ]

    def delays_by_hour(
        self,
        start_date: str = FIRST_DAY,
        end_date: str = LAST_DAY,
        origin: str | None = None,
        weekdays: Sequence[int] | None = None,
    ) -> list[Row]:
        found = self.rows(
            """SELECT hour, count(*) AS flights,
            count(*) - count(dep_time) AS cancelled_flights, sum(dep_delay)::BIGINT AS minutes,
            list(dep_delay ORDER BY dep_delay) FILTER (dep_delay IS NOT NULL) AS delays
            FROM flights WHERE day_local BETWEEN ?::DATE AND ?::DATE
            AND (?::VARCHAR IS NULL OR origin = ?)
            AND (?::INT[] IS NULL OR list_contains(?::INT[], isodow(day_local)::INT))
            GROUP BY hour ORDER BY hour""",
            *(start_date, end_date, origin, origin, weekdays, weekdays),
        )
        for row in found:
            delays = row.pop("delays")
            row["mean_departure_delay"] = mean(row.pop("minutes"), len(delays or []))
            row["median_departure_delay"] = percentile(delays, 50)
        return found

    def on_time(
        self,
        start_date: str = FIRST_DAY,
        end_date: str = LAST_DAY,
        carriers: Sequence[str] | None = None,
        origins: Sequence[str] | None = None,
        granularity: str = "month",
        late_minutes: int = 15,
    ) -> list[Row]:
        found = self.rows(
            """SELECT strftime(date_trunc(?, day_local)::DATE, '%Y-%m-%d') AS period,
            count(*) AS flights, count(*) - count(dep_time) AS cancelled_flights,
            count(*) FILTER (arr_delay < ?::INT) AS on_time_flights
            FROM flights WHERE day_local BETWEEN ?::DATE AND ?::DATE
            AND (?::VARCHAR[] IS NULL OR list_contains(?::VARCHAR[], carrier))
            AND (?::VARCHAR[] IS NULL OR list_contains(?::VARCHAR[], origin))
            GROUP BY period ORDER BY period""",
            *(granularity, late_minutes, start_date, end_date),
            *(carriers, carriers, origins, origins),
        )
        for row in found:
            row["on_time_percent"] = percent(row["on_time_flights"], row["flights"], 1)
        return found

    def weather_impact(self, condition: str = "wind", origin: str | None = None) -> list[Row]:
        found = self.rows(
            f"""SELECT {BANDS[condition]} AS severity, count(*) AS flights,
            count(*) - count(dep_time) AS cancelled_flights, sum(dep_delay)::BIGINT AS minutes,
            list(dep_delay ORDER BY dep_delay) FILTER (dep_delay IS NOT NULL) AS delays
            FROM flights JOIN weather USING (origin, time_hour)
            WHERE ?::VARCHAR IS NULL OR origin = ? GROUP BY severity ORDER BY severity""",
            *(origin, origin),
        )
        for row in found:
            delays = row.pop("delays")
            row["weather_band"] = SEVERITY[row["severity"]]
            row["cancelled_percent"] = percent(row["cancelled_flights"], row["flights"], 2)
            row["mean_departure_delay"] = mean(row.pop("minutes"), len(delays or []))
            row["p90_departure_delay"] = percentile(delays, 90)
        return found

    def worst_days(
        self,
        start_date: str = FIRST_DAY,
        end_date: str = LAST_DAY,
        origin: str | None = None,
        min_flights: int = 1,
        sort_by: str = "cancelled_flights",
        limit: int = 10,
    ) -> list[Row]:
        found = self.rows(
            """WITH sky AS (SELECT origin, day_local, max(wind_gust) AS max_gust_mph,
            min(visib) AS min_visibility_miles, sum(precip) AS rain FROM weather GROUP BY ALL),
            days AS (SELECT origin, day_local, count(*) AS flights,
            count(*) - count(dep_time) AS cancelled_flights, sum(dep_delay)::BIGINT AS minutes,
            count(dep_delay) AS departed FROM flights
            WHERE day_local BETWEEN ?::DATE AND ?::DATE
            AND (?::VARCHAR IS NULL OR origin = ?) GROUP BY ALL)
            SELECT * FROM days LEFT JOIN sky USING (origin, day_local) WHERE flights >= ?""",
            *(start_date, end_date, origin, origin, min_flights),
        )
        for row in found:
            row["date"] = row.pop("day_local").isoformat()
            row["cancelled_percent"] = percent(row["cancelled_flights"], row["flights"], 1)
            row["mean_departure_delay"] = mean(row.pop("minutes"), row.pop("departed"))
            rain = row.pop("rain")
            row["rain_inches"] = None if rain is None else float(rain)
        return highest(found, sort_by, ("date", "origin"))[:limit]


def open_figures(fixtures: Path) -> Figures:
    """Read the CSV files of the example. `day_local` is the local day that a row is of; rain is a
    decimal, so that its sums are exact."""
    database = duckdb.connect()
    day = "make_date(year, month, day) AS day_local"
    columns = {
        "airlines": "*",
        "airports": "*",
        "planes": "*",
        "weather": f"* REPLACE (precip::DECIMAL(6, 2) AS precip), {day}",
        "flights": f"*, {day}",
    }
    for name, selected in columns.items():
        database.execute(
            f"""CREATE TABLE {name} AS SELECT {selected} FROM read_csv('{fixtures / name}.csv',
            header = true, nullstr = '{NULL}', sample_size = -1)"""
        )
    return Figures(database)


def percent(part: int, whole: int, digits: int) -> float:
    return float(round(Fraction(100 * part, whole), digits))


def mean(total: int | None, count: int) -> float | None:
    """To one digit; None of nothing."""
    return None if total is None else float(round(Fraction(total, count), 1))


def percentile(in_order: Sequence[int] | None, level_percent: int) -> int | None:
    return in_order[len(in_order) * level_percent // 100] if in_order else None


def highest(rows: Iterable[Row], by: str, then: tuple[str, ...]) -> list[Row]:
    """The highest first, NULL last; equal ones in order of `then`."""
    ordered = sorted(rows, key=lambda row: tuple(row[name] for name in then))
    ordered.sort(key=lambda row: -row[by] if row[by] is not None else float("inf"))
    return ordered
