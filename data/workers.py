"""What a loader's worker process does about threads and signals."""

import os
import signal
import threading

import cv2
import torch


def init_worker(worker: int) -> None:
    """Use one thread, and end by the trainer's own signal alone: one to the whole job is for the trainer to obey."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # not on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_when_trainer_says, daemon=True).start()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)


def _end_when_trainer_says() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
