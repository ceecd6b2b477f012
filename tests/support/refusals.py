"""What the command line says when it refuses."""

import pytest

from option import parse_options


def refusal(capsys: pytest.CaptureFixture[str], line: str) -> str:
    with pytest.raises(SystemExit) as stop:
        parse_options(line.split())
    assert stop.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]
