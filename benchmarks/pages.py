"""What the pages of the benchmarks begin with: how their figures came about."""

import shlex
from collections.abc import Mapping
from typing import Any


def provenance(
    module: str,
    facts: Mapping[str, Any],
    *,
    more_versions: str = "",
    flags: str = "",
    note: str = "",
    meanwhile: str = "",
) -> list[str]:
    """List the command, commit, versions, hardware and date, a line each, as Markdown.

    Args:
        module: of `python -m`.
        facts: of `environment`.
        more_versions: of libraries, in words.
        flags: what the processor can, in words.
        note: on rounds or seeds, in words.
        meanwhile: what else the machine did.
    """
    versions = f"Python {facts['python']}, PyTorch {facts['torch']}" + (f", {more_versions}" if more_versions else "")
    hardware = f"{facts['processor']}, {facts['threads']} thread(s)" + (f", flags: {flags}" if flags else "")
    return [
        f"- command: `python -m {module} {shlex.join(facts['command'][1:])}`",
        f"- commit: {facts['commit']}",
        f"- versions: {versions}; {facts['platform']}",
        f"- hardware: {hardware}",
        f"- date: {facts['date']}" + (f"; {note}" if note else ""),
        *([f"- meanwhile: {meanwhile}"] if meanwhile else []),
    ]
