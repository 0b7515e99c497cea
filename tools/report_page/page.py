"""Pages, made of blocks: a list of (kind, content).

  title, heading, text   a string
  list                   a list of strings
  table                  (header, rows), lists of strings
  figure                 (name, caption): the file name of an SVG, without its ending
  images                 [(PNG file, caption lines)]: a grid, for web pages alone
"""

import base64
import html
import os
import struct

STYLE = """body { font: 16px/1.5 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222; }
table { display: block; overflow-x: auto; border-collapse: collapse; margin: 1em 0; font-size: 14px; } th, td { border: 1px solid #ccc; padding: 0.3em 0.6em; text-align: left; }
th { background: #f4f4f4; } figure { margin: 1.5em 0; overflow-x: auto; } figure img { width: 100%; min-width: 36em; } figcaption { font-size: 14px; color: #555; }"""
IMAGES_STYLE = """
.images { display: grid; grid-template-columns: repeat(auto-fill, minmax(9em, 1fr)); gap: 1em; } .images figure { margin: 0; overflow-wrap: anywhere; }
.images img { min-width: 0; } .images img.small { image-rendering: pixelated; }"""
SMALL = 100  # pixels: a browser shows images of the grid larger than that


def markdown(blocks):
    lines = []
    for kind, content in blocks:
        if kind == "title":
            lines += [f"# {content}", ""]
        elif kind == "heading":
            lines += [f"## {content}", ""]
        elif kind == "list":
            lines += [f"* {item}" for item in content] + [""]
        elif kind == "table":
            header, rows = content
            lines += [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows)] + [""]
        elif kind == "figure":
            name, caption = content
            lines += [f"![{name}](figures/{name}.svg)", "", caption, ""]
        else:
            lines += [content, ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def embedded(path, kind):
    return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def image_grid(images, folder):
    cells = []
    for name, lines in images:
        width = struct.unpack(">I", (folder / name).read_bytes()[16:20])[0]  # of the PNG's header
        small = ' class="small"' if width < SMALL else ""
        caption = "<br>".join(html.escape(line) for line in lines)
        cells.append(f'<figure><img{small} alt="{html.escape(name)}" src="{embedded(folder / name, "png")}"><figcaption>{caption}</figcaption></figure>')
    return ['<div class="images">', *cells, "</div>"]


def web_page(blocks, folder):
    """A self-contained HTML page with the figures in it."""
    body = []
    for kind, content in blocks:
        if kind == "title":
            title = html.escape(content)
            body.append(f"<h1>{title}</h1>")
        elif kind == "heading":
            body.append(f"<h2>{html.escape(content)}</h2>")
        elif kind == "list":
            body.append("<ul>" + "".join(f"<li>{html.escape(item)}</li>" for item in content) + "</ul>")
        elif kind == "table":
            header, rows = content
            body.append("<table><tr>" + "".join(f"<th>{html.escape(cell)}</th>" for cell in header) + "</tr>")
            body += ["<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows] + ["</table>"]
        elif kind == "figure":
            name, caption = content
            image = embedded(folder / f"{name}.svg", "svg+xml")
            body.append(f'<figure><img alt="{html.escape(name)}" src="{image}"><figcaption>{html.escape(caption)}</figcaption></figure>')
        elif kind == "images":
            body += image_grid(content, folder)
        else:
            body.append(f"<p>{html.escape(content)}</p>")
    style = STYLE + IMAGES_STYLE if any(kind == "images" for kind, _ in blocks) else STYLE
    head = f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title><style>\n{style}\n</style></head><body>\n'
    return head + "\n".join(body) + "\n</body></html>\n"


def write_text(path, text):
    temporary = path.with_name(f"{path.name}.new")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
