"""The project's messages: one logger, and how a program shows it."""

import logging
import sys

logger = logging.getLogger("cdsr")


def log_to_console(*, is_silent: bool = False) -> None:
    """Show the project's messages on standard error, past any progress bar; a silent process shows errors alone."""
    from tqdm import tqdm

    class BarFriendly(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            tqdm.write(self.format(record), file=sys.stderr)

    if not logger.handlers:
        logger.addHandler(BarFriendly())
    logger.setLevel(logging.ERROR if is_silent else logging.INFO)
