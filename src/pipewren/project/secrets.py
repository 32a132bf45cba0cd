"""`{{ tb_secret("name", "default") }}` in .datasource and .connection files, and nothing else of
the templating language (datafiles.md section 1.8).

A value never becomes part of the text that is cut into directives: a mark of the same width stands
for it until then, so that a value with a newline or a quote cannot make a directive, positions
stay right, and no message shows a value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pipewren.project.findings import Findings
from pipewren.project.lexer import Include
from pipewren.project.source import Line, Source, fail_at

_TAG = re.compile(r"\{\{(?!!)|\{%(?!!)")
_STRING = r"""(?:"([^"\\{}]*)"|'([^'\\{}]*)')"""
_CALL = re.compile(
    r"\{\{\s*tb_(?:secret|var)\(\s*"
    + _STRING
    + r"\s*(?:,\s*(?:default\s*=\s*)?"
    + _STRING
    + r"\s*)?\)\s*\}\}"
)
_MARK = re.compile("[\ue100-\uf8ff]\ue000*")
_FIRST_MARK, _LAST_MARK = 0xE100, 0xF8FF
_FILLER = "\ue000"
_USAGE = 'Write {{ tb_secret("name") }} or {{ tb_secret("name", "default") }} on one line'


@dataclass(slots=True)
class Secrets:
    """`known` are the values by name; None when they are not known here, and then none is missed.
    `values` grows by what stands for each mark: the value, the default, or the expression."""

    known: Mapping[str, str] | None
    values: list[str] = field(default_factory=list)


def mark_secrets(source: Source, secrets: Secrets, findings: Findings) -> Source:
    """`source` with marks in place of `tb_secret`; what cannot be read is a mistake."""
    lines: list[str] = []
    for number in range(1, len(source.lines) + 1):
        if findings.is_full:
            break
        with findings.catch():
            lines.append(_mark_line(Line(source, number), secrets))
        if len(lines) < number:
            lines.append("")
    if tuple(lines) == source.lines:
        return source
    return replace(source, lines=tuple(lines), shown=source.lines)


def mark_included(include: Include | None, secrets: Secrets, findings: Findings) -> Include | None:
    """`include`, with marks in the files that it reads."""
    if include is None:
        return None
    return lambda command: mark_secrets(include(command), secrets, findings)


def reveal_secrets(text: str, secrets: Secrets) -> str:
    """`text` with the values in place of the marks."""
    if not secrets.values:
        return text
    return _MARK.sub(lambda match: secrets.values[ord(match[0][0]) - _FIRST_MARK], text)


def has_secret(text: str) -> bool:
    """Whether a mark stands in `text`."""
    return _MARK.search(text) is not None


def _mark_line(line: Line, secrets: Secrets) -> str:
    known, values = secrets.known, secrets.values
    text = line.text
    strange = _MARK.search(text)
    if text.lstrip().startswith("#") or not (strange or _TAG.search(text)):
        return text
    if strange:
        raise fail_at(line, strange.start() + 1, f"Invalid character {strange[0][0]!r}")
    parts: list[str] = []
    offset = 0
    while tag := _TAG.search(text, offset):
        call = _CALL.match(text, tag.start())
        if call is None:
            raise fail_at(
                line,
                tag.start() + 1,
                f"Only tb_secret can be used between {{{{ and }}}} in {line.source.file}",
                hint=_USAGE,
            )
        name = call[1] if call[1] is not None else call[2]
        default = call[3] if call[3] is not None else call[4]
        value = call[0] if known is None else known.get(name)
        if default is not None and (known is None or value is None):
            value = default
        if value is None:
            raise fail_at(
                line,
                tag.start() + 1,
                f"Cannot access secret '{name}'. Check the secret exists in the Workspace and the "
                "token has the required scope.",
                hint=f'Make the secret, or give a default: {{{{ tb_secret("{name}", "") }}}}',
            )
        if _FIRST_MARK + len(values) > _LAST_MARK:
            raise fail_at(line, tag.start() + 1, "Too many secrets in one file")
        parts.append(text[offset : tag.start()])
        parts.append(chr(_FIRST_MARK + len(values)).ljust(len(call[0]), _FILLER))
        values.append(value)
        offset = call.end()
    return "".join(parts) + text[offset:]
