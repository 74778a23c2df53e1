"""How the admin's panel looks, besides what all panels share."""

import ipywidgets

_CSS = """
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
    return ipywidgets.HTML(f"<style>{_CSS}</style>", layout=ipywidgets.Layout(display="none"))
