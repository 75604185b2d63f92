#include "report/style.h"

#include <fmt/format.h>

namespace dropforge::report {

// After Okabe and Ito 2008, whose colours people with any colour vision tell apart; darker on white, lighter on black,
// so that thin lines are seen.
const char* const kPlotStyle = R"(
:root { --paper: #fff; --ink: #1f2328; --soft: #59636e; --line: #dfe3e8;
  --c0: #0072b2; --c1: #d55e00; --c2: #00835f; --c3: #b0518a; --c4: #a67800; --c5: #4d5560; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171c; --ink: #e4e7eb; --soft: #9aa4af; --line: #2b313a;
  --c0: #58aeea; --c1: #f28a44; --c2: #35c29b; --c3: #e59ac8; --c4: #e6bd4a; --c5: #b8c0ca; } }
@media print { :root { --paper: #fff; --ink: #000; --soft: #444; --line: #ddd;
  --c0: #0072b2; --c1: #d55e00; --c2: #00835f; --c3: #b0518a; --c4: #a67800; --c5: #4d5560; } }
.plot, .plan { font: 12px system-ui, sans-serif; }
.plot text, .plan text { fill: var(--soft); }
.plot .name { fill: var(--ink); }
.paper { fill: var(--paper); }
.grid { fill: none; stroke: var(--line); }
.axis { fill: none; stroke: var(--soft); }
.alive { fill: none; stroke: var(--ink); }
.curve { fill: none; stroke: currentColor; stroke-width: 1.6; stroke-linejoin: round; vector-effect: non-scaling-stroke; }
.many .curve { stroke-width: .8; stroke-opacity: .6; }
.dots { fill: none; stroke: currentColor; stroke-width: 4; stroke-linecap: round; }
.plot .label { fill: currentColor; font-weight: 500; }
.strip { fill: transparent; }
.strip:hover { fill: var(--ink); fill-opacity: .1; }
.c0 { color: var(--c0); } .c1 { color: var(--c1); } .c2 { color: var(--c2); }
.c3 { color: var(--c3); } .c4 { color: var(--c4); } .c5 { color: var(--c5); }
.d1 .curve { stroke-dasharray: 7 3; } .d2 .curve { stroke-dasharray: 2 2.5; } .d3 .curve { stroke-dasharray: 9 3 2 3; }
)";

const char* const kPageStyle = R"(
body { margin: 0 auto; padding: 24px 20px 64px; max-width: 1040px; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; -webkit-text-size-adjust: 100%; }
h1 { font-size: 26px; line-height: 1.25; margin: 8px 0 4px; font-weight: 650; }
h2 { font-size: 19px; margin: 44px 0 4px; font-weight: 650; }
h3 { font-size: 15px; margin: 20px 0 4px; font-weight: 650; }
p { margin: 4px 0 12px; max-width: 44em; }
.soft, small { color: var(--soft); }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(400px, 100%), 1fr)); gap: 20px 28px; margin: 12px 0; }
.plot { width: 100%; height: auto; display: block; }
.swatch { width: 28px; height: 10px; vertical-align: middle; margin-right: 6px; }
.wide { overflow-x: auto; }
.tall { max-height: 32em; overflow-y: auto; }
.tall th { position: sticky; top: 0; background: var(--paper); }
table { border-collapse: collapse; font-size: 13px; margin: 8px 0; }
th, td { padding: 4px 12px 4px 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 500; vertical-align: bottom; }
td { white-space: nowrap; }
.n { text-align: right; font-variant-numeric: tabular-nums; }
.good { font-weight: 650; }
.bar { display: block; height: 8px; margin-top: 7px; background: var(--c0); min-width: 1px; }
.bars td:nth-child(2) { width: 40%; min-width: 120px; }
.plan { width: 100%; min-width: 760px; height: auto; display: block; }
pre { font: 13px/1.45 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; margin: 2px 0 12px; }
.text { line-height: 1.9; overflow-wrap: anywhere; max-width: 60em; }
.text span { padding: 2px 1px; border-radius: 2px; }
.i1 { background: rgb(213 94 0 / .07); } .i2 { background: rgb(213 94 0 / .14); } .i3 { background: rgb(213 94 0 / .22); }
.i4 { background: rgb(213 94 0 / .31); } .i5 { background: rgb(213 94 0 / .41); } .i6 { background: rgb(213 94 0 / .52); }
.i7 { background: rgb(213 94 0 / .64); }
.text .dropped { text-decoration: line-through; text-decoration-color: var(--soft); opacity: .55; }
.text .masked { outline: 1px solid var(--ink); }
.text .border { color: var(--soft); font-size: 12px; }
@media (max-width: 600px) { body { padding: 16px 16px 48px; } .plot { font-size: 13px; } h1 { font-size: 22px; } }
@media print { body { max-width: none; font-size: 11px; } .strip { display: none; } h2, h3 { break-after: avoid; }
  .plot, tr { break-inside: avoid; } .wide { overflow: visible; max-height: none; } }
)";

std::string classes_of(size_t style) {
    const size_t dashes = (style + style / (kColours * kDashes / 2)) % kDashes;
    return fmt::format("c{} d{}", style % kColours, dashes);
}

}  // namespace dropforge::report
