"""Serve the page: `python -m web` (loopback unless told otherwise), until interrupted; then every file is removed."""

import argparse
import math
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from data.degradation import SCALES
from inference.backend import BACKENDS
from utils.device import PRECISIONS, select_device
from utils.log import log_to_console, logger
from web.service import Service


def positive(text: str) -> float:
    """Read a finite number above 0."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and finite")
    return value


def parse_options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line of the page."""
    parser = argparse.ArgumentParser(prog="python -m web", description="Serve a web page that upscales images.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0: let other machines in")
    parser.add_argument("--port", type=int, default=7860, help="0: any that is free")
    parser.add_argument("--max_upload", type=positive, default=20.0, help="largest file taken, megabytes")
    parser.add_argument("--max_megapixels", type=positive, default=16.0, help="largest image taken")
    parser.add_argument("--queue", type=int, default=20, help="visitors who may wait")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="auto: bf16 on hardware that has it")
    parser.add_argument("--backend", choices=BACKENDS, help="default: openvino on CPUs, where installed")
    parser.add_argument("--pre_train", type=Path, help="weights of your own, in place of the shipped ones of --model")
    parser.add_argument("--model", help="model of --pre_train; default: CDSR_S")
    parser.add_argument("--scale", type=int, choices=SCALES, help="scale of --pre_train; default: 2")
    args = parser.parse_args(argv)
    if not 0 <= args.port < 2**16:
        parser.error(f"--port {args.port} is outside 0 to 65535")
    if args.queue < 1:
        parser.error(f"--queue {args.queue} lets nobody in: give 1 or more")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM."""
    args = parse_options(argv)
    log_to_console()
    for name in ("model", "scale"):
        if getattr(args, name) and not args.pre_train:
            logger.warning("--%s has no effect without --pre_train", name)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    others = os.environ.get("no_proxy", os.environ.get("NO_PROXY", ""))
    os.environ["no_proxy"] = ",".join(filter(None, (others, "127.0.0.1", "localhost", args.host)))  # it asks for itself
    try:
        from web.page import CSS, THEME, build_page
    except ImportError as error:
        logger.error("error: the page needs Gradio (%s): make web, or pip install -r requirements-web.txt", error)
        return 1
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with tempfile.TemporaryDirectory(prefix="cdsr-web-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        try:
            service = Service(
                select_device(args.device),
                Path(folder),
                precision=args.precision,
                backend=args.backend,
                max_pixels=round(args.max_megapixels * 1e6),
                weights={(args.model or "CDSR_S", args.scale or 2): args.pre_train} if args.pre_train else None,
            )
            page = build_page(service, queue_size=args.queue)
            _, url, _ = page.launch(
                server_name=args.host,
                server_port=args.port or _free_port(args.host),
                max_file_size=round(args.max_upload * 1e6),
                prevent_thread_lock=True,
                quiet=True,
                ssr_mode=False,
                footer_links=[],
                theme=THEME,
                css=CSS,
            )
        except (ValueError, OSError) as error:
            logger.error("error: %s", error)
            return 1
        print(f"the page: {url}", flush=True)
        while not stop.wait(60):
            service.sweep()
        service.close()
        page.close(verbose=False)
    return 0


def _free_port(host: str) -> int:
    with socket.create_server((host, 0)) as server:
        return int(server.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
