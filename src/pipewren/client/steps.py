"""What a call asks of its connection, and what it is told: the border between rules and I/O.

A call is a generator of steps. It yields one, the transport performs it and sends back what came
of it; what the call returns is its result. So the rules stand once, and the blocking and the async
client differ in how a step is performed.

    Open(request)  →  Head | Failure      Read()   →  bytes | None at the end | Failure
    Wait(wait_s)   →  None                HandOver →  None; the rows reach the caller
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

from pipewren.client.requests import Request

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Open:
    """Send a request and wait for the head of its answer; the answer before it is let go."""

    request: Request


@dataclass(frozen=True, slots=True)
class Read:
    """The next bytes of the body, decompressed, as they arrive."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Let the connection go and sleep."""

    wait_s: float


@dataclass(frozen=True, slots=True)
class HandOver:
    """Rows for the caller, who may take as long as he likes before he asks for more."""

    rows: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Head:
    """The head of an answer; header names are in lower case.

    `has_end` is False for a body that ends where the connection ends: its cut cannot be seen.
    """

    status: int
    headers: Mapping[str, str]
    has_end: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """No answer, or not all of it. `reason` is the HTTP library's text, without its objects."""

    kind: Literal["broken", "silent", "unreadable"]
    reason: str
    may_have_arrived: bool


Step: TypeAlias = Open | Read | Wait | HandOver
Steps: TypeAlias = Generator[Step, Any, T]
