#!/usr/bin/env python3
"""ncu_table.py [FILE.csv]: what ncu writes with --csv --page raw (docs/profiling.md) in the columns of `bench kernels`, the kernels that took
longest together first: launches and what bounds them in place of model and dtype; the share is of that bound's peak.
"""
import csv
import fileinput
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass

TIME = "gpu__time_duration.sum"
SHARES = {
    "memory": "dram__throughput.avg.pct_of_peak_sustained_elapsed",
    "compute": "sm__throughput.avg.pct_of_peak_sustained_elapsed",
}
# The first of these that all columns are there for.
BYTES = (
    ["dram__bytes.sum"],
    ["dram__bytes_read.sum", "dram__bytes_write.sum"],
    ["dram__bytes_op_read.sum", "dram__bytes_op_write.sum"],
)
UNITS = {
    **{"": 1, "%": 1, "s": 1, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "second": 1, "msecond": 1e-3, "usecond": 1e-6, "nsecond": 1e-9},
    **{"byte": 1, "Kbyte": 1e3, "Mbyte": 1e6, "Gbyte": 1e9},
}


@dataclass
class Launch:
    kernel: str
    seconds: float
    bytes: float
    shares: list[float]  # as SHARES, in percent


class Table:
    """The lines between ncu's messages and the program's own output."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.units: dict[str, str] = {}  # by column
        self.rows: list[dict[str, str]] = []
        columns: list[str] = []
        for number, line in enumerate(lines, 1):
            if not line.startswith('"'):
                continue
            fields = next(csv.reader([line.rstrip("\r\n")]))
            if not columns:
                columns = fields if "Kernel Name" in fields else []
            elif not self.units:
                self.units = dict(zip(columns, fields))
            elif len(fields) != len(columns):
                sys.exit(f"line {number}: expected {len(columns)} fields, got {len(fields)}")
            else:
                self.rows.append(dict(zip(columns, fields)))
        if not columns:
            sys.exit("no table: expected what ncu writes with --csv --page raw")

    def value(self, row: dict[str, str], column: str) -> float:
        """In seconds, bytes or percent."""
        number, unit = row[column].replace(",", ""), self.units[column]
        if not re.fullmatch(r"[0-9.]+(e[+-]?[0-9]+)?", number, re.IGNORECASE):
            sys.exit(f'{row["Kernel Name"]}: {column} is "{row[column]}", expected a number')
        if unit not in UNITS:
            sys.exit(f'{column}: unknown unit "{unit}"')
        return float(number) * UNITS[unit]

    def launches(self) -> list[Launch]:
        for column in (TIME, *SHARES.values()):
            if column not in self.units:
                sys.exit(f"there is no column {column}")
        byte_columns = next((columns for columns in BYTES if all(column in self.units for column in columns)), None)
        if byte_columns is None:
            sys.exit(f"there is no column {BYTES[0][0]}")
        if not self.rows:
            sys.exit("no launch in the table")
        return [
            Launch(
                row["Kernel Name"],
                self.value(row, TIME),
                sum(self.value(row, column) for column in byte_columns),
                [self.value(row, column) for column in SHARES.values()],
            )
            for row in self.rows
        ]


def median(values: Iterable[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


def describe(name: str, launches: list[Launch]) -> str:
    seconds = [launch.seconds for launch in launches]
    share, bound = max(
        ((median(launch.shares[i] for launch in launches), bound) for i, bound in enumerate(SHARES)), key=lambda found: found[0]
    )
    rate = sum(launch.bytes for launch in launches) / sum(seconds)
    return (
        f"{name:<36} x{len(launches):<9} {bound:<7} {1e3 * median(seconds):9.4f} ms (best {1e3 * min(seconds):9.4f}) "
        f"{1e-9 * rate:9.1f} GB/s    {share:4.0f} %"
    )


def main() -> None:
    kernels: dict[str, list[Launch]] = {}
    try:
        table = Table(fileinput.input())
    except OSError as error:
        sys.exit(str(error))
    for launch in table.launches():
        kernels.setdefault(launch.kernel, []).append(launch)
    total = {name: sum(launch.seconds for launch in launches) for name, launches in kernels.items()}
    print(f"{sum(map(len, kernels.values()))} launches of {len(kernels)} kernels, {1e3 * sum(total.values()):.4f} ms")
    for name in sorted(kernels, key=lambda name: (-total[name], name)):
        print(describe(name, kernels[name]))


if __name__ == "__main__":
    main()
