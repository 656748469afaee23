#pragma once

namespace protolith {

/// The report's style sheet. The figures are drawn for white paper: on a dark page they are
/// inverted, with their hues turned back.
inline constexpr const char* kReportStyle = R"(
:root { color-scheme: light dark; --ink: #1c1c1c; --faint: #5c5c5c; --line: #d8d8d8;
  --paper: #ffffff; --stripe: #f6f6f6; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --faint: #a8a8a8; --line: #3c3c3c; --paper: #121212; --stripe: #1c1c1c; }
  figure svg, .swatch { filter: invert(0.93) hue-rotate(180deg); }
}
body { margin: 0 auto; padding: 1.5rem 1.25rem 3rem; max-width: 66rem; color: var(--ink);
  background: var(--paper); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 0.25rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 0.5rem; padding-bottom: 0.2rem;
  border-bottom: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.75rem 0 0.25rem; }
p, figcaption, caption { color: var(--faint); margin: 0.4rem 0; max-width: 48rem; }
caption, figcaption { text-align: left; font-size: 0.9rem; }
code, .value { font-family: ui-monospace, monospace; font-size: 0.88em; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: 0.75rem 0; }
table { border-collapse: collapse; font-size: 0.92rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.3rem 0.8rem 0.3rem 0; text-align: right; vertical-align: top; }
thead th { border-bottom: 1px solid var(--ink); vertical-align: bottom; }
tbody tr { border-bottom: 1px solid var(--line); }
th.text, td.text, th[scope=row] { text-align: left; }
th[scope=row] { font-weight: 600; overflow-wrap: anywhere; min-width: 9rem; }
td { white-space: nowrap; }
td.text { white-space: normal; }
figure { margin: 0.75rem 0 1.5rem; }
figure svg { display: block; width: 100%; height: auto; min-width: 36rem; }
.legend { list-style: none; margin: 0.75rem 0 0; padding: 0; display: flex; flex-wrap: wrap;
  gap: 0.2rem 1.5rem; font-size: 0.95rem; }
.swatch { width: 1.9rem; height: 0.6rem; margin-right: 0.45rem; }
footer { margin-top: 3rem; font-size: 0.85rem; color: var(--faint); }
@media print {
  :root { color-scheme: light; --ink: #000; --faint: #333; --line: #bbb; --paper: #fff; }
  body { max-width: none; padding: 0; font-size: 11pt; }
  figure svg, .swatch { filter: none; }
  figure svg { min-width: 0; }
  figure, tr { break-inside: avoid; }
  h2, h3, caption, .legend { break-after: avoid; }
  .scroll { overflow: visible; }
  td { white-space: normal; }
}
)";

}  // namespace protolith
