"""How panels look: the page's own colours, so that they are light and dark as it is."""

import ipywidgets

from toolkit.classification.sources import Source
from toolkit.reporting.palette import COLOURS, CROSSES, EDGES, ON_DARK, ON_LIGHT, STRIPE

_CSS = """
.pa-panel { --pa-ink: var(--jp-ui-font-color1, #1f2328);
  --pa-muted: var(--jp-ui-font-color2, #59636e);
  --pa-line: var(--jp-border-color2, #d1d9e0); --pa-card: var(--jp-layout-color1, #fff);
  --pa-page: var(--jp-layout-color2, #f6f8fa); color: var(--pa-ink); gap: 10px; max-width: 1180px;
  font-family: system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; padding: 8px 2px 12px; }
.pa-panel .widget-html-content, .pa-panel .widget-html { line-height: 1.4; color: var(--pa-ink); }
.pa-panel .jupyter-widgets { margin: 0; }
.pa-panel .widget-html > .widget-html-content { width: 100%; }
.pa-panel select, .pa-panel input[type=text] { border: 1px solid var(--pa-line);
  background-color: var(--pa-card); color: var(--pa-ink); border-radius: 6px; height: 30px;
  font-family: inherit; padding-left: 8px; text-overflow: ellipsis; }
.pa-panel option { background: var(--pa-card); color: var(--pa-ink); }
.pa-panel .jupyter-button { border-radius: 6px; font-family: inherit; background: var(--pa-card);
  border: 1px solid var(--pa-line); color: var(--pa-ink); line-height: 28px; height: 30px; }
.pa-panel :focus-visible { outline: 2px solid #0072B2 !important; outline-offset: 2px; }
.pa-row { flex-wrap: wrap; gap: 8px 12px; align-items: flex-end; overflow: visible; }
.pa-field { flex-direction: column !important; align-items: stretch !important;
  height: auto !important; flex: 1 1 118px; width: auto !important; min-width: 104px;
  max-width: 240px; overflow: visible; }
.pa-field > label { width: auto !important; text-align: left !important; font-size: 11px;
  line-height: 16px; height: 16px; color: var(--pa-muted); }
.pa-field > select, .pa-field > input { width: 100% !important; flex: none !important; }
.pa-card { border: 1px solid var(--pa-line); background: var(--pa-page); border-radius: 10px;
  padding: 14px 16px; gap: 6px; overflow: visible; }
.pa-cards { gap: 12px; align-items: stretch; flex-wrap: wrap; overflow: visible; }
.pa-cards > * { flex: 1 1 420px; min-width: 0; }
.pa-big { font-size: 26px; font-weight: 700; line-height: 1.15; }
.pa-title { font-weight: 700; font-size: 14px; }
.pa-muted { color: var(--pa-muted); font-size: 12.5px; }
.pa-alert:has(div) > .widget-html-content > div { border: 1px solid #b3261e;
  border-left-width: 7px; border-radius: 6px; padding: 8px 12px; background: var(--pa-card);
  font-weight: 600; }
.pa-alert:not(:has(div)) { display: none; }
.pa-stack { align-items: center; gap: 0; overflow: visible; width: 100%; }
.pa-panel .pa-stack { margin-bottom: 5px; }
.pa-stack > .pa-name { flex: 0 0 198px; width: 198px; text-align: right; padding-right: 12px;
  font-size: 12.5px; color: var(--pa-muted); overflow: hidden; }
.pa-name .widget-html-content { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.pa-bar { flex: 1 1 auto; overflow: visible; gap: 1px; height: 24px; align-items: stretch; }
.pa-panel .pa-bar > .jupyter-button { margin: 0; padding: 0; min-width: 4px; height: 24px;
  line-height: 24px; border-radius: 0; font-size: 12px; font-weight: 700; overflow: hidden;
  text-overflow: clip; flex-shrink: 1; box-shadow: none; border: 0 }
.pa-panel .pa-bar > .jupyter-button:first-child { border-radius: 5px 0 0 5px; }
.pa-panel .pa-bar > .jupyter-button:last-child { border-radius: 0 5px 5px 0; }
.pa-panel .pa-picked { box-shadow: inset 0 0 0 3px var(--pa-ink) !important; }
.pa-legend { flex-wrap: wrap; gap: 6px; overflow: visible; padding: 4px 0 8px; }
.pa-panel .pa-legend > .jupyter-button { height: 24px; line-height: 22px; width: auto;
  font-size: 12px; padding: 0 9px; border-radius: 12px; border: 0; font-weight: 600; }
.pa-table { width: 100%; overflow-x: auto; }
.pa-panel .pa-table table { border-collapse: collapse; width: 100%; font-size: 13px; border: 0;
  margin: 0; table-layout: auto; color: var(--pa-ink); }
.pa-panel .pa-table th, .pa-panel .pa-table td { text-align: left; padding: 6px 7px; border: 0;
  border-bottom: 1px solid var(--pa-line); white-space: nowrap; background: none; }
.pa-panel .pa-table thead th { font-size: 12px; color: var(--pa-muted); font-weight: 600; }
.pa-panel .pa-table tbody th { font-weight: 400; white-space: normal; overflow-wrap: anywhere;
  min-width: 210px; }
.pa-panel .pa-table td:has(bdi) { max-width: 170px; overflow: hidden; text-overflow: ellipsis; }
.pa-table .pa-late { font-weight: 700; }
.pa-table .pa-late::after { content: " expired"; font-weight: 400; }
.pa-table img { width: 32px; height: 32px; border-radius: 50%; display: block; margin: 0; }
.pa-table .pa-none { display: inline-block; width: 32px; height: 32px; border-radius: 50%;
  border: 1px dashed var(--pa-muted); box-sizing: border-box; text-align: center; line-height: 30px;
  color: var(--pa-muted); }
.pa-swatch { display: inline-block; width: 11px; height: 11px; border-radius: 3px;
  margin-right: 6px; vertical-align: -1px; }
.pa-between { justify-content: space-between; align-items: center; flex-wrap: wrap; gap: 8px;
  overflow: visible; }
.pa-between > * { width: auto; gap: 8px; }
.pa-check { width: auto !important; }
.pa-check > label, .pa-check .widget-label-basic { width: auto !important; }
.pa-trend svg { display: block; width: 100%; height: auto; }
"""
_STRIPED = "repeating-linear-gradient(45deg, {0} 0 5px, {1} 5px 9px)"
_CROSSED = (
    "repeating-linear-gradient(45deg, {0} 0 1px, transparent 1px 7px), "
    "repeating-linear-gradient(-45deg, {0} 0 1px, {1} 1px 7px)"
)
_DARK = frozenset({Source.SOCIAL, Source.GRAVATAR, Source.MISSING})


def stylesheet() -> ipywidgets.HTML:
    """Return a widget that brings the looks of panels into the page."""
    return ipywidgets.HTML(
        f"<style>{_CSS}{''.join(map(_rules, Source))}</style>",
        layout=ipywidgets.Layout(display="none"),
    )


def looks(source: Source, *, broken: bool = False) -> str:
    """Return the CSS class of a source, or of those of its users who see a broken image."""
    return f"pa-{source}{'-broken' if broken and source is not Source.INVALID else ''}"


def _rules(source: Source) -> str:
    ground = COLOURS[source]
    ink = ON_DARK if source in _DARK else ON_LIGHT
    edge = f"box-shadow: inset 0 0 0 1px {EDGES[source]};" if source in EDGES else ""
    fill = ground
    if source is Source.UNRESOLVED:
        fill = _STRIPED.format(ground, STRIPE)
    elif source is Source.INVALID:
        fill = _CROSSED.format(CROSSES, ground)
    late = _STRIPED.format(ground, f"color-mix(in srgb, {ground}, #fff 62%)")
    # Numbers on stripes stand on a ground of their own.
    glow = f"text-shadow: {', '.join([f'0 0 3px {ground}'] * 6)};"
    one, other = looks(source), looks(source, broken=True)
    both = f".pa-panel .{one}, .pa-panel .{other}" if other != one else f".pa-panel .{one}"
    rule = f"{both} {{ background: {fill} !important; color: {ink} !important; {edge} {glow} }}"
    if other == one:
        return rule
    return f"{rule} .pa-panel .{other} {{ background: {late} !important; }}"


_ADMIN_CSS = """
.pa-panel .pa-wide { max-width: none; width: 100% !important; flex: none; }
.pa-panel .pa-two > * { flex: 1 1 370px; }
.pa-panel .pa-verdict { display: inline-block; margin-right: 12px; font-size: 13px; }
.pa-panel .pa-ok b { color: #00805d; } .pa-panel .pa-warn b { color: #b25e00; }
.pa-panel .pa-fail b, .pa-panel .pa-fail { color: #b3261e; }
[data-jp-theme-light="false"] .pa-panel .pa-ok b { color: #4cc79f; }
[data-jp-theme-light="false"] .pa-panel .pa-warn b { color: #f0a857; }
[data-jp-theme-light="false"] .pa-panel .pa-fail, [data-jp-theme-light="false"] .pa-panel .pa-fail b
  { color: #ff9a92; }
.pa-panel .pa-column { gap: 12px; overflow: visible; }
.pa-panel .pa-way { gap: 0; overflow: visible; }
.pa-panel .pa-radio { width: auto !important; height: auto !important; min-height: 0; }
.pa-panel .pa-radio .widget-radio-box { margin: 0; padding: 0; }
.pa-panel .pa-radio label { font-weight: 600; font-size: 13.5px; margin: 0; height: 22px;
  line-height: 22px; }
.pa-panel .pa-way > .widget-html { padding-left: 22px; height: auto; }
.pa-panel .pa-facts { font-size: 12.5px; border-left: 3px solid var(--pa-line);
  padding: 2px 0 2px 9px; margin: 3px 0 5px; }
.pa-panel .pa-fact { display: flex; gap: 8px; line-height: 1.35; padding: 1px 0; }
.pa-panel .pa-fact > :first-child { flex: 0 0 92px; color: var(--pa-muted); }
.pa-panel .widget-select-multiple.pa-field { max-width: none; flex: 1 1 150px; }
.pa-panel .widget-select-multiple.pa-field > select { height: 104px; padding: 2px 6px; }
.pa-panel .pa-heading { display: flex; justify-content: space-between; gap: 12px; flex-wrap: wrap;
  align-items: baseline; }
.pa-panel .pa-answer { font-weight: 600; font-size: 14px; }
.pa-panel .pa-toggle { width: auto !important; }
.pa-panel .pa-toggle .jupyter-button { margin: 0 2px 0 0; }
.pa-panel .pa-toggle .jupyter-button.mod-active { background: var(--pa-ink);
  color: var(--pa-card); }
.pa-panel .pa-gallery table { margin: 0; }
.pa-panel .pa-table.pa-gallery th, .pa-panel .pa-table.pa-gallery td { padding: 6px; }
.pa-panel .pa-warnings .pa-verdict { display: block; }
.pa-panel .pa-doing { align-items: center; }
.pa-panel .pa-bindings { font-size: 13px; line-height: 1.9; }
.pa-panel .pa-chip { border: 1px solid var(--pa-line); border-radius: 10px; padding: 1px 9px;
  background: var(--pa-card); white-space: nowrap; }
.pa-panel .pa-ours { border-color: #6A4C93; box-shadow: inset 0 0 0 1px #6A4C93; font-weight: 600; }
.pa-panel details { border-top: 1px solid var(--pa-line); padding: 5px 0; font-size: 13px; }
.pa-panel summary { cursor: pointer; }
.pa-panel details pre { max-height: 340px; overflow: auto; background: var(--pa-card); padding: 8px;
  border: 1px solid var(--pa-line); border-radius: 6px; font-size: 12px; line-height: 1.4;
  font-family: var(--jp-code-font-family, monospace);
  color: var(--pa-ink); }
.pa-panel .pa-added { background: rgba(0, 158, 115, .22); }
.pa-panel .pa-removed { background: rgba(213, 94, 0, .22); }
.pa-panel .pa-confirm { width: 236px !important; }
.pa-panel .pa-danger:not(:disabled) { background: #b3261e; border-color: #b3261e; color: #fff;
  font-weight: 600; }
.pa-panel [role=status] ul { margin: 4px 0; padding-left: 20px; font-size: 13px; }
.pa-panel [role=status] p { margin: 4px 0; }
"""


def admin_stylesheet() -> ipywidgets.HTML:
    """Return a widget that brings the looks of the admin's panel into the page."""
    return ipywidgets.HTML(f"<style>{_ADMIN_CSS}</style>", layout=ipywidgets.Layout(display="none"))
