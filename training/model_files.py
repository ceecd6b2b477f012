"""The weights that a run leaves: those of the best and of the last epoch, named by epoch and validation PSNR."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


class ModelFiles:
    """`model/` of a run.

    Args:
        folder: `model/`.
        save: writes a model's weights to a path.
        keep_all: keep every epoch's.
    """

    def __init__(self, folder: Path, save: Callable[[Any, Path], None], *, keep_all: bool = False) -> None:
        self.folder, self.save, self.keep_all = folder, save, keep_all
        self._files: dict[int, list[Path]] = {}

    def write(
        self, epoch: int, best_epoch: int, models: Sequence[tuple[Any, float, str]], *, is_best: bool = False
    ) -> None:
        """Write (model, PSNR, suffix of the name) of an epoch, then drop all but the best and the last epoch's.

        An epoch may be written twice: when it was cut short, and complete. What was best when it was cut short stays.
        Weights of this epoch and later ones that are not known are of a run that went back, and go, too.

        Args:
            epoch: whose weights these are.
            best_epoch: the best one so far.
            models: the averaged weights last, where there are any.
            is_best: whether these weights are the best ones so far.

        Raises:
            OSError: a file could not be written; the others are as they were.
        """
        earlier = self._files.get(epoch, [])
        kept = earlier if epoch == best_epoch and not is_best else []
        paths = [self.folder / f"model_{epoch}_psnr_{psnr:.2f}{suffix}.pt" for _, psnr, suffix in models]
        for (model, _, _), path in zip(models, paths, strict=True):
            if path not in kept:
                self.save(model, path)
        self._files[epoch] = list(dict.fromkeys([*kept, *paths]))
        for path in self.folder.glob("model_*_psnr_*.pt"):
            if int(path.name.split("_")[1]) >= epoch and not any(path in known for known in self._files.values()):
                path.unlink(missing_ok=True)
        if self.keep_all:
            return
        for old in [old for old in self._files if old not in (epoch, best_epoch)]:
            for path in self._files.pop(old):
                path.unlink(missing_ok=True)

    def are_gone(self, epoch: int) -> bool:
        """Whether an epoch's weights were written and none of the files is there any more."""
        return epoch in self._files and not any(path.exists() for path in self._files[epoch])

    def state_dict(self) -> dict[int, list[str]]:
        """Names by epoch."""
        return {epoch: [path.name for path in paths] for epoch, paths in self._files.items()}

    def load_state_dict(self, state: dict[int, list[str]]) -> None:
        """Know the files of a saved state again."""
        self._files = {epoch: [self.folder / name for name in names] for epoch, names in state.items()}
