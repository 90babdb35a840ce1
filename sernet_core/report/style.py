"""Style sheet of the report page."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #f5f6f8; --card: #ffffff; --ink: #1c2430; --soft: #5d6877; --line: #e2e6ec;
  --accent: #2f6fde; --good: #18794e; --good-paper: #ddf3e4; --bad: #b42318; --bad-paper: #fde3e1;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #12161c; --card: #1b212a; --ink: #e8ecf2; --soft: #9aa6b6; --line: #2c3541;
    --accent: #6ea0ff; --good: #7fdcaa; --good-paper: #143324; --bad: #ff9c92; --bad-paper: #43201d;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
main { max-width: 1120px; margin: 0 auto; padding: 36px 20px 64px; }
h1 {
  font-size: 30px; line-height: 1.2; letter-spacing: -.01em; margin: 4px 0 10px;
  overflow-wrap: anywhere;
}
h1 small { font-weight: 400; color: var(--soft); }
h2 { font-size: 18px; margin: 0 0 16px; }
h3 { font-size: 15px; margin: 22px 0 10px; }
h3 small { font-weight: 400; font-size: 13px; color: var(--soft); margin-left: 6px; }
h2 small { font-weight: 400; font-size: 14px; color: var(--soft); margin-left: 6px; }
p { margin: 0; }
.kicker { color: var(--soft); font-size: 13px; }
.pill {
  display: inline-block; padding: 2px 11px; margin-right: 6px; border-radius: 99px;
  font-weight: 600; font-size: 13px;
}
.pill.passed { color: var(--good); background: var(--good-paper); }
.pill.failed { color: var(--bad); background: var(--bad-paper); }
.pill.thin {
  color: var(--soft); border: 1px solid var(--line); padding: 0 8px; margin: 0 0 0 4px; font-size: 11px;
}
.pill.partial { color: var(--bad); border: 1px solid var(--bad); padding: 1px 10px; }
.reasons {
  margin: 12px 0 0; padding: 10px 14px 10px 30px; border-radius: 10px;
  background: var(--bad-paper); color: var(--bad);
}
section {
  margin-top: 22px; padding: 22px; background: var(--card); border: 1px solid var(--line);
  border-radius: 14px;
}
section.cards {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(180px, 1fr)); gap: 14px;
  padding: 0; background: none; border: 0;
}
.card {
  padding: 16px 18px; background: var(--card); border: 1px solid var(--line); border-radius: 14px;
}
.card p { color: var(--soft); font-size: 13px; }
.card .value {
  color: var(--ink); font-size: 34px; font-weight: 650; line-height: 1.25; letter-spacing: -.02em;
}
.card .value small { font-size: 16px; font-weight: 500; margin-left: 4px; color: var(--soft); }
figure { margin: 0; }
figure + figure, .legend + figure { margin-top: 20px; }
.pair figure + figure { margin-top: 0; }
figcaption, .note { color: var(--soft); font-size: 13px; margin-top: 6px; }
img, video { display: block; width: 100%; border-radius: 10px; }
img { background: #fff; }
.video video { max-width: 800px; margin: 0 auto; background: #000; }
.video figcaption { text-align: center; }
.legend {
  display: flex; flex-wrap: wrap; justify-content: center; gap: 6px 16px; list-style: none;
  padding: 0; margin: 16px 0 0; font-size: 13px;
}
.legend i {
  display: inline-block; width: 14px; height: 14px; margin-right: 6px; border-radius: 4px;
  vertical-align: -2px;
  border: 1px solid color-mix(in srgb, var(--ink) 25%, transparent);
}
.bars { display: grid; gap: 7px; }
.row {
  display: grid; grid-template-columns: 120px 1fr 52px; align-items: center; gap: 12px;
  font-size: 14px;
}
.row .label { text-align: right; }
.row .figure, td { font-variant-numeric: tabular-nums; }
.row .figure { text-align: right; font-weight: 600; }
.track { height: 18px; border-radius: 5px; background: var(--line); overflow: hidden; }
.fill { display: block; height: 100%; border-radius: 5px; box-shadow: inset 0 0 0 1px rgb(0 0 0 / .18); }
.row.mean { border-top: 1px solid var(--line); padding-top: 9px; margin-top: 3px; font-weight: 600; }
.row.mean .fill { background: var(--accent); }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(340px, 1fr)); gap: 22px; }
.chart { display: block; width: 100%; height: auto; }
.chart .grid { stroke: var(--line); }
.chart .tick { fill: var(--soft); font-size: 11.5px; }
.chart .axis { fill: var(--soft); font-size: 12.5px; }
.chart .line { fill: none; stroke: var(--accent); stroke-width: 1.6; stroke-linejoin: round; }
.chart .line.other { stroke: var(--soft); stroke-width: 1.2; opacity: .7; }
.chart .dot, .chart .bar { fill: var(--accent); }
.chart .box { fill: var(--accent); fill-opacity: .28; stroke: var(--accent); stroke-width: 1.2; }
.chart .median { stroke: var(--accent); stroke-width: 2.6; }
.chart .miss { stroke: var(--bad); stroke-width: 1.6; }
.chart .level { stroke: var(--soft); stroke-dasharray: 4 4; opacity: .75; }
.chart .level-name { fill: var(--soft); font-size: 11.5px; }
.chart .span { stroke: var(--soft); fill: var(--soft); stroke-width: 2.4; }
.chart .span.passed { stroke: var(--good); fill: var(--good); }
.chart .span.failed { stroke: var(--bad); fill: var(--bad); }
.chart .area { stroke: none; }
.wide { overflow-x: auto; }
.figures th, .figures td:not(:first-child) { white-space: nowrap; overflow-wrap: normal; }
.confusion { width: auto; font-size: 12.5px; }
.confusion th { white-space: nowrap; text-align: right; overflow-wrap: normal; }
.confusion tr:first-child th {
  height: 96px; vertical-align: bottom; padding: 0 0 6px; border: 0; text-align: center;
}
.confusion tr:first-child span { writing-mode: vertical-rl; transform: rotate(180deg); }
.confusion .cell {
  min-width: 46px; text-align: center; border: 1px solid var(--card);
  background: color-mix(in srgb, var(--bad) calc(var(--part) * .7), var(--paper));
}
.confusion .cell.right { background: color-mix(in srgb, var(--good) calc(var(--part) * .6), var(--paper)); }
.classes th.name { white-space: nowrap; color: var(--ink); }
.classes th i { display: inline-block; width: 12px; height: 12px; margin-right: 7px; border-radius: 3px; }
.classes .bar { min-width: 150px; }
.classes .bar .track { display: inline-block; width: calc(100% - 52px); height: 14px; vertical-align: -2px; }
.classes .bar b { display: inline-block; width: 44px; text-align: right; font-weight: 600; }
.classes tr.mean > * { font-weight: 600; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; }
th, td {
  padding: 5px 8px; border-bottom: 1px solid var(--line); text-align: left;
  overflow-wrap: anywhere;
}
th { font-weight: 500; color: var(--soft); }
.bars + table { margin-top: 14px; }
.pair + table { margin-top: 14px; max-width: 560px; }
.pair + .pair { margin-top: 18px; }
.pair > table { align-self: start; }
.tables { columns: 2 380px; column-gap: 28px; }
details { break-inside: avoid; margin-bottom: 20px; }
summary { font-weight: 600; padding: 4px 0; cursor: pointer; }
.tables th { width: 42%; }
.notice {
  margin-top: 6px; padding: 10px 14px; border-left: 3px solid var(--accent);
  background: var(--paper); font-size: 13.5px;
}
"""
