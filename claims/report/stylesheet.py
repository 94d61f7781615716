"""The look of the page: one column of text, figures as wide as they need,
light or dark as the reader's system says."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fdfcfa; --raised: #f5f3ee; --ink: #1c1b19; --soft: #615d55; --rule: #d9d4c9; --link: #00568a;
  --c0: #0072b2; --c1: #c25200; --c2: #00835f; --c3: #b0568a; --c4: #b87d00; --c5: #2b8cc4;
  --good: #00664a; --bad: #a3123a; --warn: #8a4b00; --dull: #57534b;
  --serif: "Iowan Old Style", "Palatino Linotype", Palatino, "URW Palladio L", "P052", "Book Antiqua", Georgia, serif;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15171a; --raised: #1d2024; --ink: #e9e6df; --soft: #a8a399; --rule: #363a40; --link: #7cc4f2;
    --c0: #5ab4ee; --c1: #ff9252; --c2: #3fd0a5; --c3: #e79cc6; --c4: #f3b63f; --c5: #93d3f7;
    --good: #55d6ab; --bad: #ff8fa6; --warn: #ffb366; --dull: #b9b4aa;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0 auto; max-width: 52rem; padding: 0 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 1.0625rem/1.6 var(--serif); font-variant-numeric: lining-nums; overflow-wrap: break-word; }
h1, h2, h3, h4, p, dl, figure, aside { margin: 0; }
h1 { font-size: clamp(1.8rem, 5vw, 2.6rem); line-height: 1.15; font-weight: 600; letter-spacing: -0.015em;
  text-wrap: balance; }
h2 { font-size: clamp(1.35rem, 3.5vw, 1.65rem); line-height: 1.25; font-weight: 600; text-wrap: balance; }
h3 { font: 700 1.05rem/1 var(--sans); letter-spacing: 0.01em; }
h4 { font: 600 0.8rem/1.4 var(--sans); color: var(--soft); margin: 1.6rem 0 0.5rem; }
a { color: var(--link); text-decoration-thickness: 1px; text-underline-offset: 0.15em; }
a:focus-visible, [tabindex]:focus-visible, summary:focus-visible { outline: 2px solid var(--link);
  outline-offset: 2px; }
code, pre { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-size: 0.85em; }
pre { overflow-x: auto; padding: 0.8rem 1rem; background: var(--raised); border-radius: 6px; line-height: 1.45; }
.top { padding: 3.5rem 0 1rem; }
.mark { font: 600 0.85rem/1 var(--sans); color: var(--link); margin-bottom: 1rem; letter-spacing: 0.02em; }
.lead { font-size: 1.2rem; line-height: 1.5; margin-top: 1rem; }
.when, .authors, .kind, footer { font: 0.85rem/1.5 var(--sans); color: var(--soft); }
.when { margin-top: 0.75rem; }
section { margin-top: 3rem; }
section > h2 { margin-bottom: 0.4rem; }
.claim { margin-top: 2.25rem; padding-top: 1.75rem; border-top: 1px solid var(--rule); scroll-margin-top: 1rem; }
.claim > header { display: flex; flex-wrap: wrap; align-items: center; gap: 0.4rem 0.8rem; }
.statement { font-size: 1.22rem; line-height: 1.55; margin: 0.9rem 0 1.2rem; text-wrap: pretty; }
dl > div { display: grid; grid-template-columns: 11rem 1fr; gap: 0 1.25rem; padding: 0.4rem 0; }
dt { font: 600 0.8rem/1.9 var(--sans); color: var(--soft); }
dd { margin: 0; }
.badge { display: inline-flex; align-items: baseline; gap: 0.35em; font: 600 0.8rem/1.35 var(--sans);
  padding: 0.2em 0.65em;
  border-radius: 1em; border: 1px solid currentColor; color: var(--dull); }
.holds { color: var(--good); } .violated { color: var(--paper); background: var(--bad); border-color: var(--bad); }
.unreproduced, .inconclusive { color: var(--warn); } .inapplicable, .vacuous { border-style: dashed; }
.scroll { overflow-x: auto; max-width: 100%; -webkit-overflow-scrolling: touch; }
table { border-collapse: collapse; font: 0.9rem/1.45 var(--sans); font-variant-numeric: tabular-nums lining-nums; }
th, td { padding: 0.42rem 1.1rem 0.42rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--rule); }
thead th { color: var(--soft); font-weight: 600; white-space: nowrap; }
tbody th { font-weight: 500; }
.n { white-space: nowrap; text-align: right; }
td.interval { color: var(--soft); white-space: nowrap; }
.verdicts { width: 100%; margin-top: 1rem; }
.verdicts td:nth-child(2) { font: 1rem/1.5 var(--serif); }
.verdicts td:last-child { padding-right: 0; width: 1%; }
.verdicts td:last-child .badge { white-space: nowrap; }
.verdicts .paper th { padding-top: 1.5rem; font: 600 1rem/1.4 var(--serif); }
.verdicts .paper a { color: inherit; text-decoration: none; } .verdicts .paper a:hover { text-decoration: underline; }
.pictures { margin-top: 1.6rem; display: grid; gap: 1.8rem; }
.picture * { stroke-linejoin: round; stroke-linecap: butt; }
.picture { display: block; width: 100%; height: auto; color: var(--ink); }
figcaption { font-size: 0.95rem; line-height: 1.5; color: var(--soft); margin-top: 0.5rem; max-width: 42rem; }
figcaption b { color: var(--ink); font-weight: 600; }
svg.tex { max-width: 100%; height: auto; fill: currentColor; overflow: visible; }
aside { margin-top: 1.6rem; padding: 0.1rem 1.1rem 0.9rem; background: var(--raised); border-radius: 8px; }
aside h4 { margin-top: 0.9rem; margin-bottom: 0.2rem; }
details { margin-top: 1rem; font-size: 0.95rem; } summary { cursor: pointer; font: 0.85rem/1.6 var(--sans);
  color: var(--soft); }
.environment dd { font: 0.9rem/1.7 var(--sans); }
footer { margin-top: 4rem; padding-top: 1rem; border-top: 1px solid var(--rule); }
@media (max-width: 40rem) {
  body { padding: 0 1rem 3rem; } .top { padding-top: 2rem; }
  dl > div { grid-template-columns: 1fr; } dt { line-height: 1.5; }
  .verdicts thead { display: none; }
  .verdicts, .verdicts tbody, .verdicts tr, .verdicts th, .verdicts td { display: block; width: auto; }
  .verdicts tr:not(.paper) { padding: 0.8rem 0; border-bottom: 1px solid var(--rule); }
  .verdicts th, .verdicts td { border: 0; padding: 0.1rem 0; }
}
@media print { body { max-width: none; } .claim, figure, table { break-inside: avoid; } }
"""
