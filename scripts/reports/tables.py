#!/usr/bin/env python3
"""Makes the tables of figures in README.md and docs/measured-facts.md from benchmarks/*.md.

Usage: scripts/reports/tables.py [--write]   (in the repository's root; without --write it fails if a table is another)
"""
import csv
import json
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

PAGES = [Path("README.md"), Path("docs/measured-facts.md")]
MACHINES = {
    "EPYC": Path("benchmarks/epyc-zen4.md"),
    "Xeon": Path("benchmarks/xeon-amx.md"),
    "EPYC, busy": Path("benchmarks/epyc-zen4-busy.md"),
    "H100": Path("benchmarks/h100.md"),
}
METHODS = {"token_dropping": "token dropping", "sctd": "ScTD"}
BLOCK = re.compile(r"^```(console|csv throughput|csv speedup)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARKED = re.compile(r"(<!-- figures: (\w+) -->\n)(.*?)(<!-- /figures -->)", re.DOTALL)


@dataclass(frozen=True)
class Step:
    """What was measured; `of` is a method or a program."""

    machine: str
    model: str
    batch: int
    sequence: int
    precision: str
    of: str


@dataclass(frozen=True)
class Figure:
    """Sequences/s, or how many times as fast as a dense step; the texts are as the benchmark's file has them."""

    low: str
    median: str
    high: str
    of: str  # the FLOP ratio, or the share of the GEMM rate in percent

    def all_three(self) -> str:
        return " / ".join([self.low, self.median, self.high]) if self.low and self.high else self.median


Figures = dict[Step, Figure]


def fail(where: Path, what: str) -> SystemExit:
    return SystemExit(f"{where}: {what}")


def read_csv(machine: str, kind: str, text: str) -> Figures:
    column_of, of = ("program", "gemm") if kind == "csv throughput" else ("method", "flop_ratio")
    figures = {}
    for row in csv.DictReader(text.splitlines(), restval=""):
        try:
            step = Step(machine, row["model"], int(row["batch"]), int(row["sequence"]), row["precision"], row[column_of])
            figures[step] = Figure(row["min"], row["median"], row["max"], row.get(of) or "")
        except (KeyError, ValueError) as error:
            raise fail(MACHINES[machine], f"a row of {kind} without a usable column: {error}: {row}") from error
    return figures


def speedup(found: dict[str, Any]) -> Figure:
    """Of the JSON that `bench step --against-dense` prints."""
    numbers = found["against_dense"]
    low, median, high = (f"{numbers['speedup_' + which]:.3f}" for which in ("min", "median", "max"))
    return Figure(low, median, high, f"{numbers['flop_ratio']:.3f}")


def throughput(found: dict[str, Any]) -> Figure:
    """Of a program's JSON with the times of a step."""
    low, median, high = (f"{1000 * found['batch'] / found['ms_' + which]:.4g}" for which in ("max", "median", "min"))
    return Figure(low, median, high, f"{100 * found['mfu']:.1f}" if "mfu" in found else "")


def read_console(machine: str, text: str) -> Figures:
    """What `bench step --json` and lean_pytorch.py print; other output is for readers only."""
    command, _, output = text.partition("\n")
    if not command.startswith("$ "):
        raise fail(MACHINES[machine], f"a console block that begins with `{command}`, not with `$ COMMAND`")
    if not re.match(r"\$ (bench step .*--json$|python3 benchmarks/lean_pytorch.py)", command):
        return {}
    try:
        found = json.loads(output)
        beside_dense = "against_dense" in found
        of = found["method"] if beside_dense else found.get("program", "Dropforge")
        step = Step(machine, found["model"], found["batch"], found["sequence"], found["precision"], of)
        return {step: speedup(found) if beside_dense else throughput(found)}
    except (json.JSONDecodeError, KeyError) as error:
        raise fail(MACHINES[machine], f"not the JSON of a step under {command}: {error}") from error


def read_machine(machine: str, path: Path) -> Figures:
    blocks = BLOCK.findall(path.read_text(encoding="utf-8"))
    figures: Figures = {}
    for kind, text in blocks:
        if kind != "console":
            figures |= read_csv(machine, kind, text)
    for kind, text in blocks:
        if kind == "console":
            figures |= read_console(machine, text)
    return figures


def table(head: list[str], rows: list[list[str]]) -> str:
    return "".join("| " + " | ".join(row) + " |\n" for row in [head, ["---"] * len(head), *rows])


def beside_pytorch(figures: Figures) -> str:
    """README: dense steps on the CPU, and how many times PyTorch's that is."""
    rows: dict[Step, list[str]] = {}
    for step, figure in figures.items():
        other = figures.get(replace(step, of="PyTorch"))
        if step.machine != "EPYC" or step.of != "Dropforge" or other is None:
            continue
        times = float(figure.median) / float(other.median)
        row = rows.setdefault(replace(step, precision=""), [f"{step.model}, {step.batch} x {step.sequence}"])
        row.append(f"{figure.median} sequences/s, {times:.1f} times PyTorch's {other.median}")
    return table(["dense step", "f32", "bf16"], list(rows.values()))


def gpu(figures: Figures) -> str:
    """README: BERT-Base in bf16 on the H100, dense and by both methods."""
    rows = []
    for step, figure in figures.items():
        if (step.machine, step.model, step.precision, step.of) != ("H100", "bert-base", "bf16", "Dropforge"):
            continue
        row = [f"{step.batch} sequences of {step.sequence} tokens", f"{figure.median} sequences/s, {figure.of} % of the GEMM rate"]
        row += [f"{found.median} (FLOPs: {found.of})" for found in (figures[replace(step, of=method)] for method in METHODS)]
        rows.append(row)
    return table(["BERT-Base, bf16", "dense", "token dropping, times as fast", "ScTD (9 + 1 steps)"], rows)


def dense(figures: Figures) -> str:
    rows = [
        [step.machine, step.model, f"{step.batch} x {step.sequence}", step.precision, step.of, figure.all_three()]
        for step, figure in figures.items()
        if step.of not in METHODS
    ]
    return table(["machine", "model", "sequences x tokens", "precision", "program", "sequences/s"], rows)


def methods(figures: Figures) -> str:
    rows = []
    for step, figure in sorted(figures.items(), key=lambda item: (item[0].machine, item[0].model, item[0].of, item[0].sequence)):
        if step.of not in METHODS:
            continue
        share = f"{float(figure.median) / float(figure.of):.2f}"
        shape = f"{step.batch} x {step.sequence}"
        rows.append([step.machine, step.model, shape, step.precision, METHODS[step.of], figure.all_three(), figure.of, share])
    head = ["machine", "model", "sequences x tokens", "precision", "method", "times as fast", "FLOP ratio", "share"]
    return table(head, rows)


TABLES = {"beside_pytorch": beside_pytorch, "gpu": gpu, "dense": dense, "methods": methods}


def renewed(page: Path, text: str, figures: Figures) -> str:
    """The page with its tables as the figures make them."""

    def marked(match: re.Match[str]) -> str:
        if match[2] not in TABLES:
            raise fail(page, f"there is no table {match[2]}, only {', '.join(TABLES)}")
        return match[1] + TABLES[match[2]](figures) + match[4]

    return MARKED.sub(marked, text)


def main() -> int:
    write = sys.argv[1:] == ["--write"]
    if len(sys.argv) > 1 and not write:
        print(__doc__, file=sys.stderr)
        return 2
    figures: Figures = {}
    for machine, path in MACHINES.items():
        figures |= read_machine(machine, path)
    status = 0
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        wanted = renewed(page, text, figures)
        if write:
            page.write_text(wanted, encoding="utf-8")
        elif wanted != text:
            print(f"{page}: a table of figures is not what benchmarks/ make of it: scripts/reports/tables.py --write renews it")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
