"""A report as one HTML file: images inside, no scripts, nothing from elsewhere."""

from __future__ import annotations

import base64
from html import escape

from vesselseg.reports.report import DISCLAIMER, Picture, Report, Section, Table

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 60rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; border-bottom: 1px solid #ccc; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; margin: .5rem 0 1rem; }
th, td { text-align: left; padding: .18rem .6rem .18rem 0; border-bottom: 1px solid #eee; vertical-align: top;
         overflow-wrap: anywhere; }
table.data td:not(:first-child), table.data th:not(:first-child) { text-align: right;
         font-variant-numeric: tabular-nums; }
figure { margin: 1rem 0; break-inside: avoid; }
img { width: 100%; height: auto; }
figcaption, .note { color: #555; font-size: .82rem; }
@media print { body { margin: 0; max-width: none; } h2 { break-after: avoid; } tr { break-inside: avoid; } }
"""


def report_html(report: Report) -> str:
    """Return a report as the text of an HTML file.

    Parameters
    ----------
    report : Report
        All its texts are escaped.

    Returns
    -------
    str
        It shows and prints the same without a network, and asks the browser to load nothing.
    """
    sections = "\n".join(_section(section) for section in report.sections)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(report.title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{escape(report.title)}</h1>
<p class="note">{escape(DISCLAIMER)}</p>
{sections}
</body>
</html>
"""


def _section(section: Section) -> str:
    blocks = (_picture(block) if isinstance(block, Picture) else _table(block) for block in section.blocks)
    return f"<h2>{escape(section.title)}</h2>\n" + "\n".join(blocks)


def _picture(picture: Picture) -> str:
    data = base64.b64encode(picture.png).decode("ascii")
    caption = escape(picture.caption)
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{data}">\n<figcaption>{caption}</figcaption></figure>'
    )


def _table(table: Table) -> str:
    def row(cells: object, tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"  # type: ignore[attr-defined]

    columns = "".join(f'<col style="width: {100 * width:.0f}%">' for width in table.widths)
    head = f"<thead>{row(table.header, 'th')}</thead>" if table.header else ""
    body = "\n".join(row(cells, "td") for cells in table.rows)
    kind = "data" if table.header else "facts"
    note = f'\n<p class="note">{escape(table.note)}</p>' if table.note else ""
    return f'<table class="{kind}"><colgroup>{columns}</colgroup>{head}<tbody>\n{body}\n</tbody></table>{note}'
