"""The page itself, in Gradio: image in; slider, code and file out. No font, script or counter from outside."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import gradio as gr
import numpy as np

from restore.duration import time_left
from restore.sources import SUFFIXES
from utils.log import logger
from web.chart import describe, draw_kernel
from web.service import Cancelled, Service

TITLE = "CDSR: blind super-resolution"
INTRODUCTION = """# Upscale an image
The model estimates from the image alone how it was degraded, and enlarges it accordingly. Photographs that are small,
soft or scaled down gain most.

PNG, JPEG, WebP, AVIF, TIFF, BMP or GIF, up to {megapixels:g} megapixels. Depth, transparency, profile and metadata
stay. Files are removed after an hour."""
THEME = gr.themes.Soft(
    font=["system-ui", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif"],
    font_mono=["ui-monospace", "DejaVu Sans Mono", "monospace"],
)
CSS = """
.gradio-container {max-width: 1100px !important; margin: 0 auto !important}
#status {min-height: 4.5em}
#status p, #caption p {margin: 0; opacity: .85}
footer {display: none !important}
"""


class Handlers:
    """What the parts of the page call."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._stopping: dict[str, threading.Event] = {}  # of each session that has work, whether its latest is to stop

    def check(self, upload: str) -> tuple[str | None, gr.Image, str]:
        """Take an upload, or say why not."""
        try:
            preview = self.service.preview(Path(upload))
        except ValueError as error:
            Path(upload).unlink(missing_ok=True)
            gr.Warning(str(error), title="Not taken", duration=15)
            return None, gr.Image(visible=False), f"**Not taken.** {error}"
        return upload, gr.Image(preview, visible=True), "Ready: choose **Upscale**."

    def offer_scales(self, model: str, chosen: int) -> gr.Radio:
        """The scales of a model; the one chosen before, where it has that."""
        scales = self.service.scales(model)
        return gr.Radio(
            choices=[(f"×{scale}", scale) for scale in scales], value=chosen if chosen in scales else scales[0]
        )

    def hold(self, upload: str | None, request: gr.Request) -> None:
        """The wait for its turn is not to cost the file."""
        if upload:
            self.service.hold(str(request.session_hash), Path(upload))

    def upscale(
        self,
        upload: str | None,
        model: str,
        scale: int,
        strength: float,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[tuple[np.ndarray, np.ndarray], str, str, gr.Image, str, gr.Column]:
        """Upscale an upload, for all that shows the result."""
        if upload is None:
            raise gr.Error("Drop an image first.", title="No image", print_exception=False)
        # Of this call: Gradio begins the next one of a session before the one cancelled has come to its next tile.
        work = self._stopping[request.session_hash] = threading.Event()
        try:
            result = self.service.upscale(Path(upload), model, scale, watch(work, progress), strength=strength)
        except Cancelled as error:
            raise gr.Error("No result was kept.", title="Cancelled", print_exception=False) from error
        except ValueError as error:
            raise gr.Error(str(error), title="Not upscaled", print_exception=False) from error
        except OSError as error:
            logger.error("error: %s", error)
            said = "This machine could not store the result; try again later"
            raise gr.Error(said, title="Not upscaled", print_exception=False) from error
        finally:
            self.service.release(str(request.session_hash))
            if self._stopping.get(request.session_hash) is work:
                del self._stopping[request.session_hash]
        images = (result.bicubic, result.restored)
        estimate = result.estimate
        kernel = gr.Image(visible=False) if estimate is None else gr.Image(draw_kernel(estimate), visible=True)
        said = "This model estimates no kernel." if estimate is None else describe(estimate)
        return images, str(result.path), said, kernel, result.description, gr.Column(visible=True)

    def cancel(self, request: gr.Request) -> str:
        """Stop the work of a session at its next tile, or its wait."""
        self.service.release(str(request.session_hash))
        if work := self._stopping.get(request.session_hash):
            work.set()
        return "Cancelled."

    def leave(self, request: gr.Request) -> None:
        """Nobody waits for a result once the page is closed."""
        self.cancel(request)


def watch(stop: threading.Event, progress: gr.Progress) -> Callable[[int, int], None]:
    """Show the time left after each tile, or stop there."""
    start = time.monotonic()

    def on_tile(done: int, total: int) -> None:
        if stop.is_set():
            raise Cancelled
        left = time_left(time.monotonic() - start, done, total)
        progress((done, total), desc=f"upscaling, {left}" if left else "upscaling", unit="tiles")

    return on_tile


def build_page(service: Service, *, queue_size: int) -> gr.Blocks:
    """Lay out the page; one image is upscaled at a time, the others wait in a queue."""
    handlers = Handlers(service)
    models = service.models()
    scales = service.scales(models[0])
    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        gr.Markdown(INTRODUCTION.format(megapixels=service.max_pixels / 1e6))
        with gr.Row():
            with gr.Column():
                upload = gr.File(label="Image", file_types=sorted(SUFFIXES), height=150, elem_id="upload")
                preview = gr.Image(
                    visible=False, interactive=False, show_label=False, buttons=[], height=180, elem_id="preview"
                )
            with gr.Column():
                model = gr.Dropdown(models, value=models[0], label="Model", elem_id="model")
                scale = gr.Radio(
                    [(f"×{scale}", scale) for scale in scales], value=scales[0], label="Scale", elem_id="scale"
                )
                strength = gr.Slider(
                    0,
                    1,
                    value=1,
                    step=0.05,
                    label="Strength",
                    info="Less brings the result closer to bicubic interpolation, where it comes out too clean.",
                    elem_id="strength",
                )
                with gr.Row():
                    button = gr.Button("Upscale", variant="primary", elem_id="go")
                    stop = gr.Button("Cancel", elem_id="stop")
        status = gr.Markdown(elem_id="status")
        with gr.Column(visible=False) as results:
            gr.Markdown("Left: bicubic interpolation. Right: the model. Drag the handle.", elem_id="caption")
            slider = gr.ImageSlider(
                show_label=False,
                interactive=False,
                format="png",
                elem_id="slider",
                buttons=["fullscreen"],
                max_height=700,
            )
            download = gr.File(label="Download", interactive=False, elem_id="download")
            with gr.Accordion("What the model found in this image", open=True, elem_id="code"):
                said = gr.Markdown()
                kernel = gr.Image(show_label=False, interactive=False, buttons=[], container=False, width=374)
        upload.upload(handlers.check, upload, [upload, preview, status], queue=False, show_progress="hidden")
        upload.clear(lambda: (gr.Image(visible=False), ""), None, [preview, status], queue=False)
        model.change(handlers.offer_scales, [model, scale], scale, queue=False)
        button.click(handlers.hold, upload, queue=False)
        upscaling = button.click(
            handlers.upscale,
            [upload, model, scale, strength],
            [slider, download, said, kernel, status, results],
            concurrency_limit=1,
            show_progress_on=status,
        )
        stop.click(handlers.cancel, None, status, cancels=upscaling, queue=False)  # `cancels`: those that wait
        page.unload(handlers.leave)
    page.queue(max_size=queue_size)
    return page
