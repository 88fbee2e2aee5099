"""The reference of every public module: a page for each room, written anew with each build."""

from importlib import import_module
from pathlib import Path

import xiqa

SOURCE = Path(xiqa.__file__).parent
LEFT_OUT = {"cli", "migrations"}  # commands tell of themselves; migrations are called by nobody
PAGE = "# xiqa.{room}\n\n{modules}\n"
MODULE = "## {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :no-index:\n{members}```\n"


def public_modules():
    """Names of the modules that say what is public in them, in order."""
    for file in sorted(SOURCE.rglob("*.py")):
        parts = file.relative_to(SOURCE).with_suffix("").parts
        whole = parts[-1] == "__init__"
        named = parts[:-1] if whole else parts
        hidden = any(part.startswith("_") for part in named)
        if named and not hidden and not LEFT_OUT & set(named) and "\n__all__" in file.read_text("utf-8"):
            yield ".".join(("xiqa", *named)), whole


def write_pages(app):
    """Write the pages and their table of contents below ``generated/api``."""
    folder = Path(app.srcdir) / "generated" / "api"
    folder.mkdir(parents=True, exist_ok=True)
    rooms = {}
    for name, package in public_modules():
        import_module(name)  # before autodoc does, which would look at imports that are for types alone
        members = "" if package else "   :members:\n"
        rooms.setdefault(name.split(".")[1], []).append(MODULE.format(name=name, members=members))
    for room, modules in rooms.items():
        page = PAGE.format(room=room, modules="\n".join(modules))
        (folder / f"{room}.md").write_text(page, encoding="utf-8")
    contents = "\n".join(rooms)
    text = f"# Every public module\n\nRoom by room.\n\n```{{toctree}}\n:maxdepth: 1\n\n{contents}\n```\n"
    (folder / "index.md").write_text(text, encoding="utf-8")


def setup(app):
    """Tell Sphinx when to write the pages."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True}
