"""The house's docstrings say ``Example:``; the parser knows only ``Examples:`` as code, and reads the other as text."""

import re

from griffe import Extension, Object


class Examples(Extension):
    """Renames the section, so that doctests are shown as code."""

    def on_instance(self, *, obj: Object, **_: object) -> None:
        """Called once for every module, class, function and attribute."""
        if obj.docstring is not None:
            text = obj.docstring.value
            obj.docstring.value = re.sub(r"^(\s*)Example:$", r"\1Examples:", text, flags=re.M)
