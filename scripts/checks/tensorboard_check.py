#!/usr/bin/env python3
"""Opens a run's event files with TensorBoard's own reader and compares every number with metrics.jsonl.

Usage: scripts/checks/tensorboard_check.py RUN   (in the repository's root; needs the package tensorboard)
What TensorBoard calls each key, docs/metrics.md says. Prints how many numbers are equal; fails with a line for each that is not, for each that
metrics.jsonl has and TensorBoard does not, and for each that TensorBoard has besides, such as that of a step before the run went on from a checkpoint.
"""
import json
import math
import re
import struct
import sys
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

PAGE = Path("docs/metrics.md")
ROW = re.compile(r"\| `(?P<key>\w+)` \|(?:[^|]*\|){3} (?P<tag>`[^`]+`)? *\|")

# By tag and step.
Numbers = dict[tuple[str, int], tuple[float, float]]


def tags_of_page() -> dict[str, str]:
    """The tag of each key that TensorBoard shows."""
    rows = [match for line in PAGE.read_text(encoding="utf-8").splitlines() if (match := ROW.match(line))]
    tags = {row["key"]: row["tag"].strip("`") for row in rows if row["tag"]}
    if not tags:
        raise SystemExit(f"{PAGE} has no table of keys")
    return tags


def as_float32(value: float) -> float:
    return float(struct.unpack("f", struct.pack("f", value))[0])


def numbers_of_file(run: Path) -> Numbers:
    """Time and value of each number in metrics.jsonl, as event files hold them."""
    tags = tags_of_page()
    numbers = {}
    for text in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        for key in line.keys() & tags.keys():
            if line[key] is not None:
                numbers[tags[key], line["step"]] = (line["time"], as_float32(line[key]))
    return numbers


def numbers_of_tensorboard(run: Path) -> tuple[Numbers, list[str]]:
    """The same by TensorBoard, and a line for each step that a tag has twice."""
    accumulator = EventAccumulator(str(run), size_guidance={SCALARS: 0})
    accumulator.Reload()
    numbers: Numbers = {}
    twice = []
    for tag in accumulator.Tags()[SCALARS]:
        for event in accumulator.Scalars(tag):
            if (tag, event.step) in numbers:
                twice.append(f"{tag} has step {event.step} twice")
            if not math.isnan(event.value):
                numbers[tag, event.step] = (event.wall_time, event.value)
    return numbers, twice


def differences(file: Numbers, shown: Numbers) -> list[str]:
    lines = []
    for place in sorted(file.keys() | shown.keys()):
        if file.get(place) != shown.get(place):
            lines.append(f"{place[0]} of step {place[1]}: metrics.jsonl has {file.get(place)}, TensorBoard {shown.get(place)}")
    return lines


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    run = Path(sys.argv[1])
    file = numbers_of_file(run)
    shown, wrong = numbers_of_tensorboard(run)
    wrong += differences(file, shown)
    print("\n".join(wrong) if wrong else f"{len(file)} numbers are equal")
    sys.exit(1 if wrong or not file else 0)


if __name__ == "__main__":
    main()
