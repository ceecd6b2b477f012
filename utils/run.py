"""A run: its folder below `experiment/`, what it records of itself, and its logs."""

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.environment import environment
from utils.files import finite_or_null, replacing, write_json
from utils.log import logger

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

EXPERIMENT = Path("experiment")
LOGS = ("setting.json", "environment.json", "metrics.jsonl", "train.log")
"""What a run writes of itself, beside its weights and states."""


def prepare_run(folder: Path, *, reset: bool, resume: bool) -> None:
    """Make the folder of a run.

    `results/`, where `test.py` writes, is no run and stays.

    Raises:
        ValueError: it holds a run already, and neither `--reset` nor `--resume` is given.
    """
    exists = folder.is_dir() and any(path.name != "results" for path in folder.iterdir())
    if exists and reset:
        for path in (path for path in folder.iterdir() if path.name != "results"):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    elif exists and not resume:
        raise ValueError(
            f"{folder} holds a run already; go on with --resume -1, delete it with --reset, or name another by --save"
        )
    folder.mkdir(parents=True, exist_ok=True)


def read_settings(folder: Path) -> dict[str, Any]:
    """Read the resolved options of a run, as JSON has them: paths are strings."""
    settings: dict[str, Any] = json.loads((folder / "setting.json").read_text(encoding="utf-8"))
    return settings


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Read the rows of a run; a last one that was cut off is dropped."""
    *whole, _ = (folder / "metrics.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in whole]


class RunLogger:
    """`train.log` for people, `metrics.jsonl` for programs, `tb_logger/` for TensorBoard.

    Args:
        folder: the run's.
        use_tensorboard: write `tb_logger/`.
        is_silent: write nothing, as all processes but the first do.
    """

    def __init__(self, folder: Path, *, use_tensorboard: bool = False, is_silent: bool = False) -> None:
        self.folder = folder
        self.is_silent = is_silent
        self._writer: SummaryWriter | None = None
        if is_silent:
            return
        handler = logging.FileHandler(folder / "train.log", encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        logger.addHandler(handler)
        self._handler = handler
        self._metrics = (folder / "metrics.jsonl").open("a", encoding="utf-8")
        if use_tensorboard:
            self._writer = self._open_tensorboard()

    def _open_tensorboard(self, purge_step: int | None = None) -> "SummaryWriter":
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(self.folder / "tb_logger"), purge_step=purge_step)

    def describe_run(self, options: Mapping[str, Any]) -> None:
        """Save the resolved options and the environment: enough to run it again."""
        if self.is_silent:
            return
        write_json(self.folder / "setting.json", dict(options))
        write_json(self.folder / "environment.json", environment())

    def metrics(self, row: Mapping[str, Any], *, step: int) -> None:
        """Append a row; numbers go to TensorBoard too."""
        if self.is_silent:
            return
        self._metrics.write(json.dumps(finite_or_null({"iteration": step, **row})) + "\n")
        self._metrics.flush()
        if self._writer:
            for name, value in row.items():
                if isinstance(value, int | float):
                    self._writer.add_scalar(name, value, step)

    def forget_after(self, step: int) -> None:
        """Drop the rows of steps after `step`, which a resumed run will do again, and one that was cut off."""
        if self.is_silent:
            return
        self._metrics.close()
        path = self.folder / "metrics.jsonl"
        rows = [row for row in read_metrics(self.folder) if row["iteration"] <= step]
        with replacing(path) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        self._metrics = path.open("a", encoding="utf-8")
        if self._writer:
            self._writer.close()
            self._writer = self._open_tensorboard(purge_step=step + 1)

    def close(self) -> None:
        """Flush and let go of the files; of a run that measured and saved nothing, none are left."""
        if self.is_silent:
            return
        logger.removeHandler(self._handler)
        self._handler.close()
        self._metrics.close()
        if self._writer:
            self._writer.close()
        metrics = self.folder / "metrics.jsonl"
        if metrics.is_file() and not metrics.stat().st_size and not (self.folder / "state").exists():
            for name in LOGS:
                (self.folder / name).unlink(missing_ok=True)
            shutil.rmtree(self.folder / "tb_logger", ignore_errors=True)
