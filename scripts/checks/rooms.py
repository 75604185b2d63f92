#!/usr/bin/env python3
"""Checks that files include only what cmake/rooms.txt allows, and that the picture in docs/architecture.md is drawn from it.

Usage: scripts/checks/rooms.py [--draw]   (in the repository's root; --draw renews the picture)
"""
import re
import subprocess
import sys
from pathlib import Path

ROOMS = Path("cmake/rooms.txt")
PAGE = Path("docs/architecture.md")
BEGIN, END = "<!-- rooms -->\n", "<!-- /rooms -->\n"
SOURCES = re.compile(r"\.(cpp|h|cu|cuh)$")
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)

Arrows = dict[str, list[str]]


def read_rooms(text: str) -> Arrows:
    """The rooms in their order, each with those that it names."""
    arrows: Arrows = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.split("#")[0].strip()
        if not line:
            continue
        room, colon, named = line.partition(":")
        if not colon or room.strip() in arrows:
            raise SystemExit(f"{ROOMS}:{number}: expected `room : rooms that it may include`, once for each room")
        arrows[room.strip()] = named.split()
    for room, others in arrows.items():
        for other in others:
            if other not in arrows:
                raise SystemExit(f"{ROOMS}: {room} names {other}, which is no room")
    return arrows


def reach(arrows: Arrows, room: str, above: tuple[str, ...] = ()) -> set[str]:
    """All that a room may include."""
    if room in above:
        raise SystemExit(f"{ROOMS}: a cycle: {' -> '.join([*above[above.index(room):], room])}")
    return {room}.union(*(reach(arrows, other, (*above, room)) for other in arrows[room]))


def room_of(path: str, arrows: Arrows) -> str | None:
    rooms = [room for room in arrows if path.startswith(room + "/")]
    return max(rooms, key=len) if rooms else None


def violations(arrows: Arrows, files: list[str]) -> list[str]:
    """file:line for each include that crosses a wall. Headers of other projects have no room."""
    found = []
    for file in files:
        room = room_of(file, arrows)
        if room is None:
            found.append(f"{file}: in no room of {ROOMS}")
            continue
        text = Path(file).read_text(encoding="utf-8")
        for match in INCLUDE.finditer(text):
            other = room_of(match[1], arrows)
            if other is not None and other not in reach(arrows, room):
                line = text.count("\n", 0, match.start(1)) + 1
                found.append(f"{file}:{line}: {room} may not include {match[1]} ({other}), says {ROOMS}")
    return found


def picture(arrows: Arrows) -> str:
    """A Mermaid graph, which readers of the page see drawn; what follows from other arrows is left out."""
    lines = ["```mermaid", "graph TD"]
    name = {room: room.replace("/", "_") for room in arrows}
    lines += [f'    {name[room]}["{room}/"]' for room in arrows]
    for room, named in arrows.items():
        for other in named:
            if not any(other in reach(arrows, third) for third in named if third != other):
                lines.append(f"    {name[room]} --> {name[other]}")
    return "\n".join([*lines, "```"]) + "\n"


def drawn(page: str, arrows: Arrows) -> str:
    """The page with the picture as it should be."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{PAGE}: has no lines {BEGIN.strip()} and {END.strip()} for the picture of the rooms")
    return before + begin + picture(arrows) + end + after


def main() -> int:
    arrows = read_rooms(ROOMS.read_text(encoding="utf-8"))
    for room in arrows:
        reach(arrows, room)
    page = PAGE.read_text(encoding="utf-8")
    if sys.argv[1:] == ["--draw"]:
        PAGE.write_text(drawn(page, arrows), encoding="utf-8")
        return 0
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], capture_output=True, text=True, check=True)
    found = violations(arrows, [file for file in listed.stdout.splitlines() if SOURCES.search(file) and Path(file).is_file()])
    if drawn(page, arrows) != page:
        found.append(f"{PAGE}: the picture of the rooms is not that of {ROOMS}: scripts/checks/rooms.py --draw renews it")
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
