"""The page of the live view: one file, nothing loaded from elsewhere, light and dark."""

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Segmentation, live</title>
<style>
:root {
  color-scheme: light dark;
  --paper: #f5f6f8; --card: #ffffff; --ink: #1c2430; --soft: #5d6877; --line: #e2e6ec; --bad: #b42318;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #12161c; --card: #1b212a; --ink: #e8ecf2; --soft: #9aa6b6; --line: #2c3541; --bad: #ff9c92;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; padding: 20px; background: var(--paper); color: var(--ink);
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
header { display: flex; flex-wrap: wrap; gap: 6px 28px; align-items: baseline; margin-bottom: 14px; }
h1 { font-size: 19px; margin: 0; }
header p { margin: 0; color: var(--soft); }
header b { color: var(--ink); font-size: 22px; font-variant-numeric: tabular-nums; }
.stale, .stale b { color: var(--bad); }
main { display: grid; grid-template-columns: repeat(auto-fit, minmax(320px, 1fr)); gap: 14px; }
figure, section {
  margin: 0; padding: 12px; background: var(--card); border: 1px solid var(--line); border-radius: 12px;
}
img {
  display: block; width: 100%; min-height: 120px; border-radius: 8px; background: #0002; color: transparent;
}
figcaption { color: var(--soft); font-size: 13px; margin-top: 6px; }
section { margin-top: 14px; display: grid; gap: 6px; }
.row { display: grid; grid-template-columns: 130px 1fr 64px; gap: 12px; align-items: center; }
.row span:first-child { text-align: right; }
.row span:last-child { text-align: right; font-variant-numeric: tabular-nums; }
.track { height: 16px; border-radius: 5px; background: var(--line); overflow: hidden; }
.track i { display: block; height: 100%; border-radius: 5px; box-shadow: inset 0 0 0 1px rgb(0 0 0 / .2); }
footer { margin-top: 12px; color: var(--soft); font-size: 13px; }
</style></head><body>
<header><h1>Segmentation, live</h1>
<p><b id="rate">&ndash;</b> masks a second</p><p><b id="latency">&ndash;</b> ms from image to mask</p>
<p><b id="dropped">&ndash;</b> dropped</p><p id="message"></p></header>
<main>
<figure><img id="camera" src="/camera" alt="Camera"><figcaption>camera</figcaption></figure>
<figure><img id="overlay" src="/overlay" alt="Overlay"><figcaption>overlay</figcaption></figure>
</main>
<section id="classes"></section><footer id="node"></footer>
<script>
const put = (id, value) => {
  document.getElementById(id).textContent = value === null || value === undefined ? "\\u2013" : value;
};
const rows = {};
function row(one) {
  if (!rows[one.name]) {
    const line = document.createElement("div");
    line.className = "row";
    line.innerHTML = "<span></span><span class='track'><i></i></span><span></span>";
    line.children[0].textContent = one.name;
    document.getElementById("classes").append(line);
    rows[one.name] = line;
  }
  const bar = rows[one.name].querySelector("i");
  bar.style.width = one.share + "%";
  bar.style.background = one.color;
  rows[one.name].children[2].textContent = one.share.toFixed(1) + " %";
}
async function refresh() {
  try {
    const figures = await (await fetch("/figures")).json();
    put("rate", figures.rate_hz);
    put("latency", figures.latency_ms && Math.round(figures.latency_ms));
    put("dropped", figures.node.dropped);
    const words = figures.message || (figures.stale ? "is the node running?" : "");
    put("message", figures.stale ? "no masks: " + words : words);
    document.querySelector("header").className = figures.stale ? "stale" : "";
    const names = new Set(figures.classes.map(one => one.name));
    for (const name of Object.keys(rows)) {
      if (!names.has(name)) { rows[name].remove(); delete rows[name]; }
    }
    figures.classes.forEach(row);
    put("node", Object.entries(figures.node).map(([key, value]) => key + " " + value).join("  \\u00b7  "));
  } catch (error) {
    put("message", "the view has ended");
    document.querySelector("header").className = "stale";
  }
  setTimeout(refresh, 500);
}
refresh();
</script></body></html>
"""
