"""Pieces -> syntax tree: blocks are matched, expressions are read by Python's parser (templating.md
section 2). What an expression may hold is `expressions.py`'s to say."""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass, field

from pipewren.errors import TemplateSyntaxError
from pipewren.template.failures import DEFINED_PAGE, NOT_A_FUNCTION
from pipewren.template.lexer import Piece, Places, split_pieces
from pipewren.template.limits import MAX_EXPRESSION_CHARACTERS, TemplateLimits
from pipewren.template.nodes import (
    For,
    Handler,
    If,
    Jump,
    Node,
    Output,
    Statement,
    Text,
    Try,
    While,
    walk,
)

FORBIDDEN = frozenset(
    ("import", "from", "include", "extends", "autoescape", "raw", "module", "apply", "block")
)
_OPENERS = frozenset(("if", "for", "while", "try"))
# What may hold each of the words that go on with a block.
_PARENTS = {
    "else": ("if", "for", "while", "try"),
    "elif": ("if",),
    "except": ("try",),
    "finally": ("try",),
}
_MODES = ("all", "single", "oneline")
_EXCEPT = re.compile(
    r"(?:(?P<type>\w+)|\((?P<types>\w+(?:\s*,\s*\w+)*)\s*,?\s*\))?(?:\s+as\s+(?P<name>\w+))?\s*"
)
_MIXED = re.compile(r"\{\s*\{|%\}|\{%")
_BLANKS = re.compile(r"\s+")
_SPACES = re.compile(r"[\t ]+")


@dataclass(slots=True)
class _Open:
    """A block that is not closed yet; `into` takes what comes next."""

    word: str
    node: If | For | While | Try | None
    offset: int
    into: list[Node] = field(default_factory=list)
    has_else: bool = False


def parse_template(source: str, limits: TemplateLimits) -> list[Node]:
    """Raises TemplateSyntaxError with line and column."""
    if len(source) > limits.max_source_characters:
        raise TemplateSyntaxError(
            f"the template is longer than {limits.max_source_characters} characters", line=1
        )
    return _Parser(source, limits).parse()


class _Parser:
    def __init__(self, source: str, limits: TemplateLimits) -> None:
        self._source = source
        self._limits = limits
        self._places = Places(source)
        self._open = [_Open("", None, 0)]
        self._mode = "all"

    def parse(self) -> list[Node]:
        pieces = split_pieces(self._source, self._places)
        if len(pieces) > 2 * self._limits.max_tags:
            raise self._fail(pieces[-1], f"the template has over {self._limits.max_tags} tags")
        for piece in pieces:
            if piece.kind == "text":
                self._add(Text(_squeeze(piece.text, self._mode)))
            elif piece.kind == "expression":
                self._add(Output(self._expression(piece, piece.text, piece.offset), piece.text))
            else:
                self._read_block(piece)
        last = self._open[-1]
        if len(self._open) > 1:
            line, column = self._places.locate(last.offset)
            raise TemplateSyntaxError(
                f"Missing {{% end %}} block for if at line {line}", line=line, column=column
            )
        return last.into

    def _add(self, node: Node) -> None:
        self._open[-1].into.append(node)

    def _fail(self, piece: Piece, message: str) -> TemplateSyntaxError:
        return self._places.mistake(message, piece.offset)

    def _read_block(self, piece: Piece) -> None:
        found = re.match(r"\w+", piece.text)
        word = found.group() if found else piece.text.split(maxsplit=1)[0]
        suffix = piece.text[len(word) :].strip()
        at = piece.offset + piece.text.find(suffix, len(word)) if suffix else piece.offset
        if word in FORBIDDEN:
            word = "import" if word == "from" else word
            raise self._fail(piece, f"{word} is forbidden")
        if word == "comment":
            return
        if word == "end":
            if len(self._open) == 1:
                raise self._fail(piece, "Extra {% end %} block")
            self._open.pop()
        elif word in _PARENTS:
            self._go_on(piece, word, suffix, at)
        elif word in _OPENERS:
            self._begin(piece, word, suffix, at)
        elif word in ("break", "continue"):
            if not any(one.word in ("for", "while") for one in self._open):
                raise self._fail(piece, f"{word} outside {{'for', 'while'}} block")
            self._add(Jump(ast.Break() if word == "break" else ast.Continue()))
        elif word == "set":
            if not suffix:
                raise self._fail(piece, "set missing statement")
            self._add(Statement(self._statement(piece, suffix, at)))
        elif word == "whitespace":
            if suffix not in _MODES:
                raise self._fail(piece, f"invalid whitespace mode {suffix}")
            self._mode = suffix
        else:
            raise self._fail(piece, f"unknown operator: '{word}'")

    def _begin(self, piece: Piece, word: str, suffix: str, at: int) -> None:
        if len(self._open) > self._limits.max_block_depth:
            raise self._fail(
                piece, f"blocks are nested more than {self._limits.max_block_depth} deep"
            )
        if not suffix and word != "try":
            raise self._fail(piece, f"{word} missing expression")
        node: If | For | While | Try
        if word == "if":
            body: list[Node] = []
            node = If([(self._expression(piece, suffix, at), body)])
        elif word == "while":
            node = While(self._expression(piece, suffix, at), body := [])
        elif word == "for":
            target, iterable = self._for(piece, suffix, at)
            node = For(target, iterable, body := [])
        else:
            if suffix:
                raise self._fail(piece, "try takes no expression")
            node = Try(body := [])
        self._add(node)
        self._open.append(_Open(word, node, piece.offset, body))

    def _go_on(self, piece: Piece, word: str, suffix: str, at: int) -> None:
        block = self._open[-1]
        if block.node is None:
            parents = ", ".join(f"'{parent}'" for parent in _PARENTS[word])
            raise self._fail(piece, f"{word} outside {{{parents}}} block")
        if block.word not in _PARENTS[word]:
            raise self._fail(piece, f"{word} block cannot be attached to {block.word} block")
        if block.has_else and word != "finally":
            raise self._fail(piece, f"{word} after else")
        node = block.node
        block.into = []
        if word == "elif":
            assert isinstance(node, If)
            if not suffix:
                raise self._fail(piece, "elif missing expression")
            node.branches.append((self._expression(piece, suffix, at), block.into))
        elif word == "else":
            if suffix:
                raise self._fail(piece, f"else takes no expression, got '{suffix}': use elif")
            block.has_else = True
            if isinstance(node, If):
                node.branches.append((None, block.into))
            else:
                node.orelse = block.into
        elif word == "except":
            assert isinstance(node, Try)
            node.handlers.append(self._handler(piece, suffix, block.into))
        else:
            assert isinstance(node, Try)
            node.final = block.into

    def _handler(self, piece: Piece, suffix: str, body: list[Node]) -> Handler:
        found = _EXCEPT.fullmatch(" " + suffix if suffix.startswith("as ") else suffix)
        if found is None:
            raise self._fail(piece, f"invalid except '{suffix}'")
        types = found["types"] or found["type"] or ""
        return Handler(tuple(re.findall(r"\w+", types)), found["name"], body)

    def _expression(self, piece: Piece, text: str, at: int) -> ast.expr:
        # An argument, so that it may have several lines; a call, so that `a) + (b` shows.
        tree = self._python(piece, f"_({text}\n)", text, at, "eval")
        assert isinstance(tree, ast.Expression)
        call = tree.body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.keywords:
            raise self._fail(piece, f"invalid syntax: {text[:100]}")
        if len(call.args) == 1:
            return call.args[0]
        return ast.Tuple(call.args, ast.Load(), lineno=call.lineno, col_offset=call.col_offset)

    def _for(self, piece: Piece, suffix: str, at: int) -> tuple[ast.expr, ast.expr]:
        tree = self._python(piece, f"for {suffix}: pass", suffix, at, "exec")
        assert isinstance(tree, ast.Module)
        loop = tree.body[0]
        if (
            len(tree.body) == 1
            and isinstance(loop, ast.For)
            and not loop.orelse
            and [type(one) for one in loop.body] == [ast.Pass]
        ):
            return loop.target, loop.iter
        raise self._fail(piece, f"Invalid control block: for {suffix}")

    def _statement(self, piece: Piece, suffix: str, at: int) -> ast.stmt:
        tree = self._python(piece, suffix, suffix, at, "exec")
        assert isinstance(tree, ast.Module)
        allowed = (ast.Assign, ast.AugAssign, ast.Expr)
        if len(tree.body) != 1 or not isinstance(tree.body[0], allowed):
            raise self._fail(piece, f"Invalid set statement: {suffix}")
        return tree.body[0]

    def _python(self, piece: Piece, code: str, text: str, at: int, mode: str) -> ast.AST:
        """Python's tree of `code`, in which `text` stands that begins at the source's offset `at`;
        its places are moved to those of the template."""
        if len(text) > MAX_EXPRESSION_CHARACTERS:
            raise self._fail(
                piece, f"the expression is longer than {MAX_EXPRESSION_CHARACTERS} characters"
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # `is` with a literal and the like
                tree = ast.parse(code, "<template>", mode)
        except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
            offset = at + _offset_in(text, code.index(text), error)
            reason = _explain(text, error)
            mistake = self._places.mistake(reason, offset)
            if reason == NOT_A_FUNCTION:
                mistake.documentation = DEFINED_PAGE
            raise mistake from None
        self._move(tree, code, at, code.index(text))
        return tree

    def _move(self, tree: ast.AST, code: str, at: int, shift: int) -> None:
        """Python's lines and columns (in bytes) to those of the template."""
        line, column = self._places.locate(at)
        lines = None if code.isascii() else code.split("\n")
        for node in walk(tree):
            if not isinstance(node, (ast.expr, ast.stmt, ast.keyword)):
                continue
            if lines is not None:
                encoded = lines[node.lineno - 1].encode("utf-8", "replace")
                node.col_offset = len(encoded[: node.col_offset].decode("utf-8", "ignore"))
            if node.lineno == 1:
                node.col_offset = max(0, node.col_offset + column - 1 - shift)
            node.lineno += line - 1


def _offset_in(text: str, shift: int, error: Exception) -> int:
    """Where in `text` Python's parser stopped."""
    if not isinstance(error, SyntaxError) or not error.lineno or not error.offset:
        return 0
    lines = text.split("\n")
    before = sum(len(line) + 1 for line in lines[: error.lineno - 1])
    column = error.offset - 1 - (shift if error.lineno == 1 else 0)
    return min(before + max(column, 0), len(text))


def _explain(text: str, error: Exception) -> str:
    if isinstance(error, SyntaxError) and re.search(r"(?<![\w.'\"])from(?![\w'\"])", text):
        return '"from" is a forbidden word'
    if isinstance(error, RecursionError | MemoryError):
        return "the expression is nested too deeply"
    if _MIXED.search(text):
        return NOT_A_FUNCTION
    reason = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{reason}: {text[:100]}"


def _squeeze(text: str, mode: str) -> str:
    if mode == "single":
        return _BLANKS.sub(_squeeze_blanks, text)
    if mode == "oneline":
        return _BLANKS.sub(" ", text)
    return text


def _squeeze_blanks(found: re.Match[str]) -> str:
    blanks = found.group()
    return "\n" if "\n" in blanks else _SPACES.sub(" ", blanks)
