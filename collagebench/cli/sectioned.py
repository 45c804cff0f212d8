"""A command whose help lists its options by section."""

from __future__ import annotations

import re

import click


class SectionedCommand(click.Command):
    """A command whose help lists its options by section.

    `sections` names the parameters below each title. `own` is the title of the section for all other parameters, and
    whether that section comes first. It also lists the parameters in `its`, which mean something else in this command.
    """

    sections: tuple[tuple[str, tuple[str, ...]], ...] = ()
    own = ("Other options", False)
    its: tuple[str, ...] = ()

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write every option below the title of its section."""
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        left = {option.name: _shown(record) for option in options if (record := option.get_help_record(ctx))}
        sections = {
            title: [left.pop(name) for name in names if name in left and name not in self.its]
            for title, names in self.sections
        }
        title, is_first = self.own
        own = {title: list(left.values())}
        for title, records in {**own, **sections}.items() if is_first else {**sections, **own}.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def _shown(record: tuple[str, str]) -> tuple[str, str]:
    """Return an option's name and help, with the default written as [10], like all others, and without a range."""
    name, said = record
    said = re.sub(r"\s+\[x>=\d+\]$", "", said)
    return name, re.sub(r"\s+\[default: (.*?)(?:; x>=\d+)?\]$", r" [\1]", said)
