"""How the report looks: one style sheet, for light and dark screens. Pure."""

from __future__ import annotations

STYLE = """
:root{--back:#f5f6f8;--card:#fff;--ink:#1c2330;--soft:#667085;--rule:#e4e7ec;--one:#2563eb;
--two:#d97706;--three:#98a2b3;--good:#12805c;--bad:#c0362c;--warn:#fff8e6;--edge:#f0d48a}
@media (prefers-color-scheme:dark){:root{--back:#12151b;--card:#1b2029;--ink:#e6e9ef;--soft:#98a2b3;
--rule:#2c3340;--one:#6ea0ff;--two:#f0a94a;--three:#7a8496;--good:#3fbf8f;--bad:#f0736a;
--warn:#2a2412;--edge:#6b5a22}}
:root{color-scheme:light dark}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:960px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:26px;margin:0 0 4px;letter-spacing:-.01em}
h2{font-size:16px;margin:0 0 2px}
header p{margin:2px 0}
.note{color:var(--soft);font-size:13px;margin:0 0 10px}
section{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:18px 20px;
margin-top:16px}
.verdict{border-left:6px solid var(--good)}
.verdict.bad{border-left-color:var(--bad)}
.verdict.bad h2{color:var(--bad)}
.verdict.good h2{color:var(--good)}
.warning{background:var(--warn);border-color:var(--edge)}
.warning ul{margin:8px 0 0;padding-left:20px;font-size:14px}
.warning ul+h2{margin-top:16px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(200px,1fr));gap:12px;
margin-top:16px}
.tiles div{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:12px 14px;
display:flex;flex-direction:column}
.tiles b{font-size:21px;letter-spacing:-.01em;font-variant-numeric:tabular-nums}
.tiles small{color:var(--soft);font-size:12px}
.scroll{overflow-x:auto;max-height:420px;overflow-y:auto;margin-top:8px}
table{border-collapse:collapse;width:100%;font-size:13px;font-variant-numeric:tabular-nums}
th{position:sticky;top:0;background:var(--card);text-align:left;color:var(--soft);font-weight:600}
th,td{padding:5px 12px 5px 0;border-bottom:1px solid var(--rule);white-space:nowrap}
td:last-child{white-space:normal;overflow-wrap:anywhere;min-width:5em}
tr.pass td:nth-child(4){color:var(--good);font-weight:600}
tr.fail td:nth-child(4){color:var(--bad);font-weight:600}
svg{display:block;width:100%;height:auto}
svg text{font:11px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif}
.tick{fill:var(--soft)}
.value{fill:var(--ink)}
.grid{stroke:var(--rule)}
.zero{stroke:var(--three)}
polyline{fill:none;stroke-width:1.7;stroke-linejoin:round}
polyline.one{stroke:var(--one)}
polyline.two{stroke:var(--two)}
polyline.three{stroke:var(--three)}
polyline.down{stroke:var(--bad);stroke-width:1.2}
.down-area{fill:var(--bad);fill-opacity:.18}
rect.one,i.one{fill:var(--one);background:var(--one)}
rect.two,i.two{fill:var(--two);background:var(--two)}
rect.three,i.three{fill:var(--three);background:var(--three)}
i.down{background:var(--bad)}
rect.good{fill:var(--good)}
rect.bad{fill:var(--bad)}
rect.total{fill:var(--one)}
rect.empty{fill:var(--rule);fill-opacity:.35}
.legend{display:flex;gap:18px;font-size:12px;color:var(--soft);padding-left:62px}
.legend i{display:inline-block;width:14px;height:3px;margin-right:6px;vertical-align:middle}
"""
