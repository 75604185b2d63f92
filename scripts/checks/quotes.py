#!/usr/bin/env python3
"""Checks that the code which pages quote is in the files that they name.

A quote is a fenced block under a line `<!-- from PATH -->`. Its lines must stand in that file in this order, one after
the other, whatever their indentation; blank lines do not count, and a line `// …` (or `# …`) stands for any number of
lines. Every block of C++ on the pages in ALL_QUOTED must be a quote.

Usage: scripts/checks/quotes.py [PAGE…]   (in the repository's root; by default README.md, CONTRIBUTING.md, docs/*.md)
"""
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ALL_QUOTED = {"CONTRIBUTING.md", "docs/tour.md"}
SOURCE = re.compile(r"<!-- from (\S+) -->")
FENCE = re.compile(r"```(\w*)")
LEFT_OUT = re.compile(r"(//|#) …")


def parts(lines: list[str]) -> list[list[str]]:
    """The lines between those that stand for others."""
    found: list[list[str]] = [[]]
    for line in map(str.strip, lines):
        if LEFT_OUT.fullmatch(line):
            found.append([])
        elif line:
            found[-1].append(line)
    return [part for part in found if part]


def find(part: list[str], text: list[str], begin: int) -> int | None:
    """Where the part ends in the text, looked for from `begin` on."""
    for start in range(begin, len(text) - len(part) + 1):
        if text[start : start + len(part)] == part:
            return start + len(part)
    return None


def trouble(quote: list[str], source: str) -> str | None:
    """What is wrong with a quote, or None."""
    if not Path(source).is_file():
        return f"there is no {source}"
    text = [line.strip() for line in Path(source).read_text(encoding="utf-8").splitlines() if line.strip()]
    if not parts(quote):
        return "the quote is empty"
    begin = 0
    for part in parts(quote):
        end = find(part, text, begin)
        if end is None:
            missing = next((line for line in part if line not in text), None)
            return f"{source} has no line `{missing}`" if missing else f"{source} has not these lines in this order: `{part[0]}` …"
        begin = end
    return None


def blocks(lines: list[str]) -> Iterator[tuple[int, str, str | None, list[str]]]:
    """Line number, language, source and lines of each fenced block."""
    source: str | None = None
    begin: int | None = None
    language = ""
    for number, line in enumerate(lines):
        if begin is None and (fence := FENCE.fullmatch(line.strip())):
            begin, language = number, fence[1]
        elif begin is not None and line.strip() == "```":
            yield begin + 1, language, source, lines[begin + 1 : number]
            begin = source = None
        elif begin is None and line.strip():
            match = SOURCE.fullmatch(line.strip())
            source = match[1] if match else None


def check(page: str) -> Iterator[str]:
    lines = Path(page).read_text(encoding="utf-8").splitlines()
    for number, language, source, quote in blocks(lines):
        if source is not None:
            wrong = trouble(quote, source)
            if wrong:
                yield f"{page}:{number}: {wrong}"
        elif language == "cpp" and page in ALL_QUOTED:
            yield f"{page}:{number}: C++ without a line <!-- from PATH --> above it"


def main() -> int:
    pages = sys.argv[1:] or ["README.md", "CONTRIBUTING.md", *map(str, sorted(Path("docs").glob("*.md")))]
    found = [line for page in pages for line in check(page)]
    if found:
        print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
