"""The names of ClickHouse's data types, as `system.data_type_families` of 26.9 lists them.

tests/engine/test_type_families.py holds this list against the engine.
"""

from __future__ import annotations

_EXACT = """
    AggregateFunction Array BFloat16 Dynamic Enum16 Enum8 FixedString Float32 Float64 Geometry
    GEOMETRY Int128 Int16 Int256 Int32 Int64 Int8 IntervalDay IntervalHour IntervalMicrosecond
    IntervalMillisecond IntervalMinute IntervalMonth IntervalNanosecond IntervalQuarter
    IntervalSecond IntervalWeek IntervalYear IPv4 IPv6 LineString LowCardinality Map
    MultiLineString MultiPoint MultiPolygon Nested Nothing Nullable Point Polygon QBit Ring
    SimpleAggregateFunction String Tuple UInt128 UInt16 UInt256 UInt32 UInt64 UInt8 UUID
    Variant
"""
_ANY_CASE = """
    BIGINT BINARY BIT BLOB BOOL BOOLEAN BYTE BYTEA CHAR CHARACTER CLOB DATE DATE32 DATETIME
    DATETIME32 DATETIME64 DEC DECIMAL DECIMAL128 DECIMAL256 DECIMAL32 DECIMAL64 DOUBLE ENUM
    FIXED FLOAT INET4 INET6 INT INT1 INTEGER JSON LONGBLOB LONGTEXT MEDIUMBLOB MEDIUMINT
    MEDIUMTEXT NCHAR NUMERIC NVARCHAR REAL SET SIGNED SINGLE SMALLINT TEXT TIME TIME64
    TIMESTAMP TINYBLOB TINYINT TINYTEXT UNSIGNED VARBINARY VARCHAR VARCHAR2 YEAR
"""

CASE_SENSITIVE = frozenset(_EXACT.split())

# Given in upper case; most are SQL's names for the types above.
CASE_INSENSITIVE = frozenset(_ANY_CASE.split())

# In any case too, in upper case here.
OF_SEVERAL_WORDS = frozenset(
    {
        "BIGINT SIGNED",
        "BIGINT UNSIGNED",
        "BINARY LARGE OBJECT",
        "BINARY VARYING",
        "CHAR LARGE OBJECT",
        "CHAR VARYING",
        "CHARACTER LARGE OBJECT",
        "CHARACTER VARYING",
        "DOUBLE PRECISION",
        "INT SIGNED",
        "INT UNSIGNED",
        "INT1 SIGNED",
        "INT1 UNSIGNED",
        "INTEGER SIGNED",
        "INTEGER UNSIGNED",
        "MEDIUMINT SIGNED",
        "MEDIUMINT UNSIGNED",
        "NATIONAL CHAR",
        "NATIONAL CHAR VARYING",
        "NATIONAL CHARACTER",
        "NATIONAL CHARACTER LARGE OBJECT",
        "NATIONAL CHARACTER VARYING",
        "NCHAR LARGE OBJECT",
        "NCHAR VARYING",
        "SMALLINT SIGNED",
        "SMALLINT UNSIGNED",
        "TINYINT SIGNED",
        "TINYINT UNSIGNED",
    }
)

# Those whose arguments are types, or begin with a function's name and go on with types.
OF_TYPES = frozenset(("Array", "Nullable", "LowCardinality", "Map", "Tuple", "Nested", "Variant"))
OF_FUNCTION_AND_TYPES = frozenset(("AggregateFunction", "SimpleAggregateFunction"))
