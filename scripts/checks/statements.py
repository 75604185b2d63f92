#!/usr/bin/env python3
"""Finds statements in the C++ files of the command line that are comma expressions (`a = 1, b = 2;`) or conditional expressions
(`x ? f() : g();`), which say less than two statements and an if. Prints file:line: statement; exit status 1 if there is one."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

BLANKED = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-zA-Z])\'(?:\\.|[^\'\\\n])+\'|^[ \t]*#(?:\\\n|[^\n])*',
                     re.S | re.M)
MARKS = re.compile(r"[()\[\]{};]")
# What a statement may begin with, brackets being emptied: control flow, an end of a block, an attribute, a label.
PREFIX = re.compile(r"^(?:\s|\{\}|\[\]|else\b|do\b|try\b|(?:if(?:\s+constexpr)?|for|while|switch|catch)\s*\(\)|case\b(?:::|[^:?])*:(?!:)|default\s*:(?!:)|"
                    r"(?:public|private|protected)\s*:(?!:))*")
TEMPLATE_ARGUMENTS = re.compile(r"(?<=\w)<[^<>;]*>")
OPERAND = r"(?!(?:return|throw|using|typedef|template|delete|goto|co_\w+)\b)(?:\+\+|--|[*&!~(])*[A-Za-z_][\w.:]*(?:->|\.|::|\w|\(\)|\[\]|\{\}|<\w+>)*(?:\+\+|--)?"
COMMA = re.compile(rf"^(?:(?:return|throw|delete)\b[^,]*|\(\)[^,]*|{OPERAND}(?:\s*(?:[-+*/%&|^]|<<|>>)?=(?!=)[^,]*)?),")
CONDITIONAL = re.compile(r"^(?!(?:return|throw|co_\w+)\b)[^=?]*\?")


def blank(match: "re.Match[str]") -> str:
    return re.sub(r"[^\n]", " ", match.group(0))


@dataclass
class Statement:
    """Source text without the content of its brackets: pieces, and their positions in the source."""

    pieces: list[tuple[int, str]] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(text for _, text in self.pieces)

    def position(self, offset: int) -> int:
        """The position in the source of the character at `offset` of the text."""
        for position, text in self.pieces:
            if offset < len(text):
                return position + offset
            offset -= len(text)
        return 0


def statements(text: str) -> Iterator[Statement]:
    """The statements of blocks that end in a semicolon."""
    outer: list[tuple[str, Statement]] = []  # of each open bracket: itself, and the statement that it is in
    current = Statement()
    end = 0
    for mark in MARKS.finditer(text):
        current.pieces.append((end, text[end : mark.start()]))
        end = mark.end()
        if mark.group() in "([{":
            outer.append((mark.group(), current))
            current = Statement()
        elif mark.group() == ";":
            current.pieces.append((mark.start(), ";"))
            if outer and outer[-1][0] == "{":
                yield current
                current = Statement()
        elif outer:
            bracket, current = outer.pop()
            current.pieces.append((mark.start(), bracket + mark.group()))


def offences(source: str) -> list[tuple[int, str]]:
    """Line and text of the statements of `source` that break the rule."""
    text = BLANKED.sub(blank, source)
    result = []
    for found in statements(text):
        prefix = PREFIX.match(found.text)
        assert prefix
        statement = found.text[prefix.end() :]
        while (without := TEMPLATE_ARGUMENTS.sub("", statement)) != statement:
            statement = without
        plain = re.sub(r"(?<![<>])[=!<>]=", "<>", statement)
        if COMMA.match(statement) or CONDITIONAL.match(plain):
            line = text.count("\n", 0, found.position(prefix.end())) + 1
            result.append((line, " ".join(statement.split())))
    return sorted(result)


def main() -> int:
    status = 0
    for name in sys.argv[1:]:
        for line, statement in offences(Path(name).read_text(encoding="utf-8")):
            print(f"{name}:{line}: {statement}")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
