"""Where the code is, and what a result depends on besides its options."""

import platform
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent


def environment() -> dict[str, Any]:
    """Describe what a result depends on: commit, versions, device, command, time."""
    return {
        "commit": _commit(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "date": time.strftime("%Y-%m-%d %H:%M:%S%z"),
    }


def _commit() -> str:
    """HEAD, and a digest of how the code differs from it; empty outside of git."""
    changes = _git("diff", "HEAD", "--", "*.py", "pyproject.toml", "requirements*.txt")
    return _git("rev-parse", "HEAD") + (f"+changes.{sha256(changes.encode()).hexdigest()[:8]}" if changes else "")


def _git(*words: str) -> str:
    try:
        answer = subprocess.run(["git", "-C", ROOT, *words], capture_output=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.decode(errors="replace").strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
