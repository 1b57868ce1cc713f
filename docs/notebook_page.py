"""Shows notebook.ipynb as a page: its texts, and its code as code. What it puts out is seen by whoever runs it."""

import json
from pathlib import Path
from typing import Any

FILE = "notebook.ipynb"


def on_page_read_source(page: Any, config: Any) -> str | None:
    """Called by mkdocs for every page; none where its own file is to be read."""
    if page.file.src_uri != "notebook.md":
        return None
    notebook = json.loads((Path(config.docs_dir) / FILE).read_text(encoding="utf-8"))
    shown = [_shown(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]
    return "\n\n".join([shown[0], f"[Download the notebook]({FILE})", *shown[1:]])


def _shown(kind: str, source: str) -> str:
    return f"```python\n{source}\n```" if kind == "code" else source
