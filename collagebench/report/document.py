"""The frame of every page: one HTML file that loads nothing, with the style sheet and the script inside."""

from __future__ import annotations

from importlib import resources

from collagebench.report.markup import Content, Markup, tag


def document(title: str, body: Content, style: str = "") -> str:
    """Return a whole page; `style` holds rules in addition to those of all pages."""
    files = resources.files(__package__)
    rules = (files / "page.css").read_text(encoding="utf-8")
    script = (files / "page.js").read_text(encoding="utf-8")
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title} - collagebench"),
        tag("style", Markup(rules + style)),
    ]
    whole = tag("html", tag("head", head), tag("body", body, tag("script", Markup(script))), lang="en")
    return f"<!DOCTYPE html>\n{whole}\n"
