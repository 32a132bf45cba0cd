"""An application whose endpoints print their parameters, so that what each became is seen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2
import pytest_asyncio

if TYPE_CHECKING:
    from pipewren.engine.contract import Statement
    from tests.api.conftest import Api

    MakeApi = Callable[..., Awaitable[Api]]

ADMIN = "admin token value"


def pipe(sql: str) -> str:
    return f"NODE endpoint\nSQL >\n    %\n    SELECT {sql}\nTYPE endpoint\n"


FILES = {
    "endpoints/typed.pipe": pipe(
        "{{String(s, '-')}} AS s, {{Int32(i, 1)}} AS i, {{UInt64(u, 1)}} AS u, "
        "{{Float64(f, 1.5)}} AS f, {{Boolean(b, False)}} AS b, {{Array(a, 'Int32', '1,2')}} AS a, "
        "{{Array(t, 'String', 'x,y')}} AS t, {{Date(d, '2024-01-01')}} AS d, "
        "{{DateTime(m, '2024-01-01 00:00:00')}} AS m, "
        "{% if JSON(j, '{}') %}1{% else %}0{% end %} AS j"
    ),
    "endpoints/bare.pipe": pipe(
        "{% if defined(x) %}{{x}}{% else %}'absent'{% end %} AS x, {{String(job_timestamp)}} AS now"
    ),
    "endpoints/reads_reserved.pipe": pipe("{{String(tag, 'kept')}} AS tag"),
}


@dataclass(frozen=True, slots=True)
class ParameterApi:
    """`statements` are those that reached the engine."""

    api: Api

    @property
    def statements(self) -> list[Statement]:
        return self.api.engine.statements

    async def call(
        self,
        query: str = "",
        body: bytes | str | None = None,
        content_type: str | None = None,
        *,
        pipe: str = "typed",
        method: str | None = None,
        token: str | None = ADMIN,
        headers: dict[str, str] | None = None,
    ) -> httpx2.Response:
        """A GET, or where there is a body a POST."""
        sent = dict(headers or {})
        if content_type is not None:
            sent["Content-Type"] = content_type
        content = body.encode() if isinstance(body, str) else body
        path = f"/v0/pipes/{pipe}.json" + (f"?{query}" if query else "")
        method = method or ("GET" if body is None else "POST")
        return await self.api.call(path, method, token=token, content=content, headers=sent)

    async def printed(self, *arguments: Any, **options: Any) -> dict[str, str]:
        """What each parameter became in the statement, by its column."""
        answer = await self.call(*arguments, **options)
        assert answer.status_code == 200, answer.text
        statement = self.statements[-1].sql.strip().removeprefix("SELECT ")
        columns = {}
        while statement:
            value, _, rest = statement.partition(" AS ")
            name, _, statement = rest.partition(", ")
            columns[name.strip()] = value
        return columns

    async def refused(self, *arguments: Any, **options: Any) -> str:
        """The text of a 400 that never reached the engine."""
        before = len(self.statements)
        answer = await self.call(*arguments, **options)
        assert answer.status_code == 400, answer.text
        assert len(self.statements) == before
        text = answer.json()["error"]
        assert isinstance(text, str)
        return text


@pytest_asyncio.fixture(loop_scope="session")
async def make_typed(make_api: MakeApi) -> Callable[..., Awaitable[ParameterApi]]:
    async def make(**settings: Any) -> ParameterApi:
        return ParameterApi(await make_api(files=FILES, **settings))

    return make


@pytest_asyncio.fixture(loop_scope="session")
async def typed(make_typed: Callable[..., Awaitable[ParameterApi]]) -> ParameterApi:
    return await make_typed()
