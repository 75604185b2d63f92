#!/usr/bin/env python3
"""Makes report.json and report.html of what scripts/reports/gpu_day.sh has left in a folder: gpu_day_report.py FOLDER "STAGE STAGE…"
The page needs nothing but itself. What is missing or failed is said where it would stand.
"""
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Values = dict[str, Any]  # as they stand in report.json
SANITIZERS = ("memcheck", "racecheck", "initcheck", "synccheck")
MEASURED = ("gemm", "kernels", "steps", "operations", "predictions")


def read_file(path: Path) -> str:
    """Without the white space at its end; empty if there is none. A log may hold any bytes."""
    return path.read_text("utf-8", "surrogateescape").rstrip() if path.exists() else ""


def write_file(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, "utf-8", "surrogateescape")
    os.replace(part, path)


def last_lines(text: str) -> str:
    return "\n".join(text.split("\n")[-20:])


# ---- what there is ----


def read_stage(folder: Path) -> Values:
    log = read_file(folder / "log")
    stage: Values = {
        "name": folder.name,
        "status": read_file(folder / "status") or "not run",
        "seconds": int(read_file(folder / "seconds") or 0),
    }
    if stage["status"] not in ("passed", "not run"):
        stage["log"] = last_lines(log)
    if counts := re.findall(r"^(\d+) passed, (\d+) failed$", log, re.MULTILINE):
        stage["tests_passed"], stage["tests_failed"] = map(int, counts[-1])
    return stage


def read_cell(path: Path) -> Values:
    """What bench printed as JSON, with the cell's name; or its last words as `error`."""
    text = read_file(path)
    if path.suffix == ".error":
        return {"error": text, "cell": path.stem}
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    return {**(values if isinstance(values, dict) else {"error": "bench printed no JSON"}), "cell": path.stem}


def read_cells(folder: Path) -> list[Values]:
    return [read_cell(path) for path in sorted([*folder.glob("*.json"), *folder.glob("*.error")])]


def read_sanitized(folder: Path) -> list[Values]:
    tests = []
    for path in sorted(folder.glob("*.status")):
        log = read_file(path.with_suffix(".log"))
        summaries = re.findall(r"^=* ?(\w+ SUMMARY:[^\n]*)", log, re.MULTILINE)
        test = {"test": path.stem, "status": read_file(path), "summary": summaries[-1] if summaries else ""}
        if test["status"] != "passed":
            test["log"] = last_lines(log)
        tests.append(test)
    return tests


def compare(steps: list[Values], predictions: list[Values]) -> None:
    """Adds the predicted time to the measured one."""
    predicted = {prediction["cell"]: prediction.get("ms") for prediction in predictions}
    for step in steps:
        ms, median = predicted.get(step["cell"]), step.get("ms_median")
        if ms and median:
            step["predicted_ms"], step["of_prediction"] = ms, ms / median


def read_report(folder: Path, stages: list[str]) -> Values:
    report: Values = {
        "gpu": read_file(folder / "machine/gpu.csv"),
        "version": read_file(folder / "machine/version.txt"),
        "commit": read_file(folder / "version"),
        "date": f"{time.asctime(time.gmtime())} UTC",
        "stages": [read_stage(folder / name) for name in stages],
        **{name: read_cells(folder / name) for name in MEASURED},
        **{name: read_sanitized(folder / name) for name in SANITIZERS},
    }
    compare(report["steps"], report["predictions"])
    return report


# ---- the page ----


class Row(list[str]):
    """The cells of a table's row, and its class in the style sheet."""

    def __init__(self, *cells: object, style: str = "") -> None:
        super().__init__("" if cell is None else str(cell) for cell in cells)
        self.style = style


def escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def number(value: float | None, digits: int, unit: float = 1) -> str:
    return "" if value is None else f"{value / unit:.{digits}f}"


def percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def table(headings: Iterable[str], rows: list[Row]) -> str:
    if not rows:
        return "<p>No results.</p>\n"
    html = "<table><tr>" + "".join(f"<th>{heading}</th>" for heading in headings) + "</tr>\n"
    for row in rows:
        style = f' class="{row.style}"' if row.style else ""
        html += f"<tr{style}>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n"
    return f"{html}</table>\n"


def style_of(status: str) -> str:
    return status.replace(" ", "-") if status in ("passed", "not run") else "failed"


def stage_row(stage: Values) -> Row:
    tests = f"{stage['tests_passed']} passed, {stage['tests_failed']} failed" if "tests_passed" in stage else ""
    return Row(stage["name"], stage["status"], f"{stage['seconds']} s", tests, style=style_of(stage["status"]))


def rows(cells: list[Values], rows_of: Callable[[Values], list[Row]]) -> list[Row]:
    """Those of all cells; one that failed has a row with its error."""
    return [
        row
        for cell in cells
        for row in ([Row(cell["cell"], cell["error"], style="failed")] if "error" in cell else rows_of(cell))
    ]


def gemm_rows(cell: Values) -> list[Row]:
    return [
        Row(
            cell["model"],
            rate["dtype"],
            shape["name"],
            f"{shape['m']} x {shape['n']} x {shape['k']}",
            number(shape["gflops"], 1, 1e3),
            percent(shape["gflops"] / rate["peak_gflops"]),
        )
        for rate in cell.get("rates", [])
        for shape in rate["shapes"]
    ]


def kernel_rows(cell: Values) -> list[Row]:
    return [
        Row(
            kernel["model"],
            kernel["kernel"],
            kernel["dtype"],
            number(kernel["ms"], 4),
            number(kernel.get("gbytes_per_second"), 0),
            percent(kernel.get("bandwidth_share")),
            percent(kernel.get("gemm_share")),
        )
        for kernel in cell.get("kernels", [])
    ]


def step_rows(step: Values) -> list[Row]:
    return [
        Row(
            step.get("model"),
            step.get("method"),
            step.get("precision"),
            f"{step.get('batch', '')} x {step.get('sequence', '')}",
            number(step.get("sequences_per_second"), 1),
            number(step.get("ms_median"), 2),
            number(step.get("gflops"), 1, 1e3),
            percent(step.get("mfu")),
            number(step.get("predicted_ms"), 2),
            percent(step.get("of_prediction")),
        )
    ]


def operation_rows(step: Values) -> list[Row]:
    return [
        Row(
            step["method"],
            operation["op"],
            number(operation["ms"], 3),
            percent(operation.get("share")),
            number(operation.get("gflops", 0), 1, 1e3),
            number(operation.get("gbytes_per_second"), 0),
        )
        for operation in step.get("by_op", [])
    ]


def logs(name: str, entries: list[Values]) -> str:
    return "".join(f"<h3>{entry[name]}: last lines</h3>\n<pre>{escape(entry['log'])}</pre>\n" for entry in entries if "log" in entry)


def sanitized_table(tests: list[Values]) -> str:
    lines = [Row(test["test"], test["status"], test["summary"], style=style_of(test["status"])) for test in tests]
    return table(["test", "status", "summary"], lines) + logs("test", tests)


STYLE = """\
body { font: 15px sans-serif; max-width: 75em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 } th, td { padding: 2px 10px; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top }
td:nth-child(n+4) { font-variant-numeric: tabular-nums } pre { background: #f4f4f4; padding: 8px; overflow-x: auto }
.failed { background: #fdd } .passed td:nth-child(2) { color: #070 } .not-run { color: #777 }
"""
ABOUT_STEPS = (
    "<p>16384 tokens a step. Predicted: from operations, bytes and the figures of the device; "
    "the last column is the predicted time as a share of the measured one.</p>"
)
STEP_COLUMNS = ("model", "method", "precision", "batch", "sequences/s", "ms", "TFLOP/s", "MFU", "predicted ms", "predicted/measured")
OPERATION_COLUMNS = ("method", "operation", "ms", "share", "TFLOP/s", "GB/s")
GEMM_COLUMNS = ("model", "dtype", "GEMM", "m x n x k", "TFLOP/s", "of the best")
KERNEL_COLUMNS = ("model", "kernel", "dtype", "ms", "GB/s", "of the bandwidth", "of the best GEMM")


def page(report: Values) -> str:
    status = {stage["name"]: stage["status"] for stage in report["stages"]}
    title = f"Dropforge on {escape(report['gpu'] or 'a GPU')}"
    about = escape(f"{report['gpu']}\n{report['version']}\ncommit {report['commit']}, {report['date']}")

    def section(heading: str, stage: str, content: str) -> str:
        return f"<h2>{heading}{f' ({status[stage]})' if stage in status else ''}</h2>\n{content}"

    html = f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>\n{STYLE}</style></head><body>\n'
    html += f"<h1>{title}</h1>\n<pre>{about}</pre>\n"
    html += "<h2>Stages</h2>\n" + table(["stage", "status", "time", "tests"], [stage_row(stage) for stage in report["stages"]])
    html += logs("name", report["stages"])
    html += section("Training steps", "steps", ABOUT_STEPS + table(STEP_COLUMNS, rows(report["steps"], step_rows)))
    html += section("Time by operation", "operations", table(OPERATION_COLUMNS, rows(report["operations"], operation_rows)))
    html += section("GEMM", "gemm", table(GEMM_COLUMNS, rows(report["gemm"], gemm_rows)))
    html += section("Kernels", "kernels", table(KERNEL_COLUMNS, rows(report["kernels"], kernel_rows)))
    for tool in SANITIZERS:
        html += section(f"compute-sanitizer {tool}", tool, sanitized_table(report[tool]))
    return f"{html}</body></html>\n"


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit('usage: gpu_day_report.py FOLDER "STAGE STAGE…"')
    folder = Path(sys.argv[1])
    report = read_report(folder, sys.argv[2].split())
    write_file(folder / "report.json", json.dumps(report, indent=3, sort_keys=True, separators=(",", " : "), ensure_ascii=False) + "\n")
    write_file(folder / "report.html", page(report))


if __name__ == "__main__":
    main()
