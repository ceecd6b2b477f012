"""The web page: its service alone; and in a real browser (slow: chromium, chromedriver, selenium and gradio)."""

import importlib.util
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import test as command_line
from inference.upscaler import Upscaler
from model import create_model, save_model
from model.variant import Variant
from tests.support.images import random_pixels, save_pil
from utils.image import Image as PixelImage
from utils.image import read_image
from utils.known_degradation import EstimatedDegradation
from web.__main__ import main, parse_options
from web.chart import describe, draw_kernel
from web.service import BACKGROUND, Cancelled, Service, _view

ROOT = Path(__file__).parent.parent


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_model(create_model("CDSR_S", 2), tmp_path / "weights.safetensors", {})
    return tmp_path / "weights.safetensors"


@pytest.fixture
def service(tmp_path: Path, weights: Path) -> Service:
    folder = tmp_path / "visitors"
    folder.mkdir()
    return Service(torch.device("cpu"), folder, max_pixels=5000, weights={("CDSR_S", 2): weights})


def test_the_service_gives_what_the_command_line_gives(tmp_path, service, weights):
    image = save_pil(tmp_path / "été.png", Image.fromarray(random_pixels(4, 8, 30, 41)))
    tiles = []
    result = service.upscale(image, "CDSR_S", 2, lambda done, total: tiles.append((done, total)))
    words = ["--cpu", "--model", "CDSR_S", "--pre_train", str(weights), "--dir_demo", str(image)]
    assert command_line.main([*words, "--results", str(tmp_path / "out")]) == 0
    assert result.path.read_bytes() == (tmp_path / "out/été_x2.png").read_bytes()
    assert result.path.name == "été_x2.png"
    assert result.bicubic.shape == result.restored.shape == (60, 82, 3)
    assert result.estimate.covariance.shape == (1, 3) and tiles[-1] == (1, 1)
    assert "41 × 30 → 82 × 60 pixels" in result.description
    figure = draw_kernel(result.estimate)
    assert figure.dtype == np.uint8 and figure.shape[2] == 3 and figure.std() > 10


def test_the_blur_is_told_along_its_axes():
    estimate = EstimatedDegradation(torch.tensor([[2.5, 2.5, 1.5]]), torch.zeros(1))  # variances of 4 and 1
    assert describe(estimate).startswith("A blur of 2.0 by 1.0 pixels")


def test_noise_and_compression_are_told_where_they_were_learnt():
    covariance = torch.tensor([[2.5, 2.5, 1.5]])
    told = describe(EstimatedDegradation(covariance, torch.tensor([7.4]), torch.tensor([61.7])))
    assert "noise of about 7 grey levels of 255, JPEG compression of about quality 62" in told
    clean = describe(EstimatedDegradation(covariance, torch.tensor([-0.3]), torch.tensor([101.0])))
    assert "hardly any noise" in clean and "hardly any JPEG compression" in clean
    assert "noise" not in describe(EstimatedDegradation(covariance, torch.tensor([7.4])))


def test_weights_for_real_images_are_the_usual_ones_and_those_for_blur_are_offered(tmp_path, monkeypatch, service):
    shipped = {model: service.scales(model) for model in service.models()}
    assert shipped == {"CDSR_S": [2, 3, 4], "CDSR_S (blur and white noise)": [4], "CDSR_S (blur only)": [2, 4]}
    monkeypatch.setattr("model.pretrained.FOLDER", tmp_path)
    small = Variant(lpe="autocorrelation", csc=False, head=True)
    for index, name in enumerate(("cdsr_s_x2", "cdsr_s_x4", "cdsr_s_x4_real")):
        torch.manual_seed(index)
        variant = small._replace(compression=name.endswith("real"))
        save_model(create_model("CDSR_S", int(name[8]), variant), tmp_path / f"{name}.safetensors", {})
    service = Service(torch.device("cpu"), tmp_path / "visitors")
    assert service.models() == ["CDSR_S", "CDSR_S (blur only)"]
    assert service.scales("CDSR_S") == [2, 4] and service.scales("CDSR_S (blur only)") == [4]
    image = save_pil(tmp_path / "a.png", Image.fromarray(random_pixels(3, 8, 20, 21)))
    real, blur = (service.upscale(image, model, 4) for model in service.models())
    assert real.estimate.quality is not None and blur.estimate.quality is None
    half, none = (service.upscale(image, "CDSR_S", 4, strength=strength).restored for strength in (0.5, 0.0))
    assert np.array_equal(none, real.bicubic) and not np.array_equal(half, none)
    assert np.abs(half.astype(float) - (real.restored.astype(float) + real.bicubic) / 2).max() <= 1


def test_weights_for_noisy_images_are_offered_apart(tmp_path, monkeypatch):
    monkeypatch.setattr("model.pretrained.FOLDER", tmp_path)
    for index, name in enumerate(("cdsr_s_x2", "cdsr_s_x4", "cdsr_s_x4_noise15")):
        torch.manual_seed(index)
        save_model(create_model("CDSR_S", int(name[8])), tmp_path / f"{name}.safetensors", {})
    service = Service(torch.device("cpu"), tmp_path / "visitors")
    assert service.models() == ["CDSR_S", "CDSR_S (blur and white noise)"]
    assert service.scales("CDSR_S") == [2, 4] and service.scales("CDSR_S (blur and white noise)") == [4]
    image = save_pil(tmp_path / "a.png", Image.fromarray(random_pixels(3, 8, 20, 21)))
    clean, noisy = (service.upscale(image, model, 4).restored for model in service.models())
    assert clean.shape == noisy.shape and (clean != noisy).any()


def test_several_visitors_get_their_own_results(tmp_path, service):
    """Four at once, of two images of the same name."""
    paths = []
    for index, folder in enumerate("ab"):
        (tmp_path / folder).mkdir()
        paths.append(save_pil(tmp_path / folder / "same.png", Image.fromarray(random_pixels(3, 8, 20, 21 + index))))
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda path: service.upscale(path, "CDSR_S", 2), [*paths, *paths]))
    assert len({result.path for result in results}) == 4
    contents = [result.path.read_bytes() for result in results]
    assert contents[:2] == contents[2:] and contents[0] != contents[1]


def test_the_service_refuses_in_words_for_a_visitor(tmp_path, service):
    words = tmp_path / "words.png"
    words.write_text("these are words")
    large = save_pil(tmp_path / "large.png", Image.new("L", (101, 50)))
    good = save_pil(tmp_path / "good.png", Image.new("L", (10, 10)))
    for path, message in ((words, "This is no image we can read: not an image"), (large, "0.0 megapixels are more")):
        with pytest.raises(ValueError, match=message) as error:
            service.upscale(path, "CDSR_S", 2)
        assert str(tmp_path) not in str(error.value)
    with pytest.raises(ValueError, match="no weights for CDSR x4 here; there are: .*CDSR_S x2"):
        service.upscale(good, "CDSR", 4)
    half = tmp_path / "half.png"
    half.write_bytes(save_pil(tmp_path / "whole.png", Image.fromarray(random_pixels(3, 8, 60, 60))).read_bytes()[:4000])
    with pytest.raises(ValueError, match="This image is damaged"):
        service.preview(half)
    assert service.preview(good).shape == (10, 10, 3)
    with pytest.raises(ValueError, match=r"cannot read half\.png") as error:
        service.upscale(half, "CDSR_S", 2)
    assert str(tmp_path) not in str(error.value)


def test_a_result_too_large_for_its_format_is_a_png(tmp_path, service):
    image = save_pil(tmp_path / "wide.webp", Image.new("RGB", (8200, 17)), lossless=True)
    service.max_pixels = 200_000
    service._upscalers["CDSR_S", 2] = Upscaler(create_model("bicubic", 2), centred=True)
    path = service.upscale(image, "CDSR_S", 2).path
    assert path.name == "wide_x2.png" and read_image(path).pixels.shape == (34, 16_400, 3)


def test_too_little_memory_is_told(tmp_path, service, monkeypatch):
    image = save_pil(tmp_path / "a.png", Image.new("L", (20, 20)))
    monkeypatch.setattr("web.service.restore_image", lambda *_, **__: np.empty(1 << 58))
    with pytest.raises(ValueError, match="not enough memory here for this image"):
        service.upscale(image, "CDSR_S", 2)


def test_weights_that_cannot_be_used_are_told_at_the_start(tmp_path):
    with pytest.raises(ValueError, match="no checkpoint at"):
        Service(torch.device("cpu"), tmp_path, weights={("CDSR_S", 2): tmp_path / "missing.pt"})


def test_a_backend_that_cannot_run_is_told_at_the_start(tmp_path):
    with pytest.raises(ValueError, match="--backend openvino"):
        Service(torch.device("cpu"), tmp_path, backend="openvino", precision="half")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--port", "70000"], "--port 70000 is outside 0 to 65535"),
        (["--queue", "0"], "--queue 0 lets nobody in"),
        (["--max_megapixels", "inf"], "inf is not above 0 and finite"),
        (["--max_upload", "0"], "0 is not above 0 and finite"),
    ],
)
def test_options_that_cannot_be_are_told(capsys, words, message):
    with pytest.raises(SystemExit):
        parse_options(words)
    assert message in capsys.readouterr().err


def test_options_without_effect_are_told_and_the_page_asks_no_proxy_for_itself(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "web.page", None)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", "example.org")
    assert main(["--scale", "2"]) == 1
    assert "--scale has no effect without --pre_train" in caplog.text and "--model" not in caplog.text
    assert os.environ["no_proxy"].split(",")[:3] == ["example.org", "127.0.0.1", "localhost"]


def functions_of(page) -> dict[str, Callable]:
    """What the parts of a page call, by name."""
    return {block.fn.__name__: block.fn for block in page.fns.values() if block.fn}


def test_another_model_keeps_the_scale_where_it_has_it(service):
    pytest.importorskip("gradio")
    from web.page import build_page

    offer = functions_of(build_page(service, queue_size=2))["offer_scales"]
    offered = [offer(model, scale) for model in ("CDSR_S", "CDSR_S (blur only)") for scale in (3, 4)]
    assert [radio.value for radio in offered] == [3, 4, 2, 4]


def test_what_is_cancelled_stops_though_the_next_has_begun(tmp_path, service, monkeypatch):
    """Gradio calls `upscale` again as soon as the work before is cancelled, while that still runs."""
    gradio = pytest.importorskip("gradio")
    from web.page import build_page

    tiles: queue.Queue[str] = queue.Queue()
    go_on = {"first": threading.Event(), "second": threading.Event()}

    def work(path: Path, model: str, scale: int, on_tile: Callable[[int, int], None], **_: object) -> None:
        tiles.put(path.name)
        assert go_on[path.name].wait(60)
        on_tile(1, 2)
        raise ValueError("went on")

    monkeypatch.setattr(service, "upscale", work)
    functions = functions_of(build_page(service, queue_size=2))
    request = SimpleNamespace(session_hash="visitor")
    progress = lambda *_, **__: None  # noqa: E731
    with ThreadPoolExecutor(2) as pool:
        futures = {}
        for name in go_on:
            futures[name] = pool.submit(functions["upscale"], name, "CDSR_S", 2, 1.0, request, progress)
            assert tiles.get(timeout=60) == name
            if name == "first":
                functions["cancel"](request)
        for name, message in (("first", "No result was kept"), ("second", "went on")):
            go_on[name].set()
            with pytest.raises(gradio.Error, match=message):
                futures[name].result(timeout=60)


def test_work_stops_when_the_page_is_closed(tmp_path, service, monkeypatch):
    """The browser's open connection is what tells that somebody is there."""
    gradio = pytest.importorskip("gradio")
    from web.page import build_page

    has_begun = threading.Event()

    def work(path: Path, model: str, scale: int, on_tile: Callable[[int, int], None], **_: object) -> None:
        has_begun.set()
        for done in range(600):
            on_tile(done, 600)
            time.sleep(0.1)

    monkeypatch.setattr(service, "upscale", work)
    page = build_page(service, queue_size=2)
    _, url, _ = page.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, ssr_mode=False)
    try:
        opened = urllib.request.urlopen(f"{url}gradio_api/heartbeat/visitor", timeout=60)
        assert b"ALIVE" in opened.readline()
        with ThreadPoolExecutor(1) as pool:
            request, progress = SimpleNamespace(session_hash="visitor"), lambda *_, **__: None
            result = pool.submit(functions_of(page)["upscale"], "a.png", "CDSR_S", 2, 1.0, request, progress)
            assert has_begun.wait(60)
            opened.close()
            with pytest.raises(gradio.Error, match="No result was kept"):
                result.result(timeout=55)
    finally:
        page.close(verbose=False)


def test_cancelling_stops_at_the_next_tile(tmp_path, service, monkeypatch):
    image = save_pil(tmp_path / "a.png", Image.fromarray(random_pixels(3, 8, 40, 100)))
    monkeypatch.setattr("inference.upscaler.choose_tile", lambda *_: 40)
    tiles = []

    def on_tile(done, total):
        tiles.append((done, total))
        if done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        service.upscale(image, "CDSR_S", 2, on_tile)
    assert tiles == [*[(0, 4)] * 4, (1, 4), (2, 4)]  # 0 also after each piece that the means are estimated from
    assert not list(service.folder.rglob("*.png"))
    assert service.upscale(image, "CDSR_S", 2).path.is_file()  # the next visitor is served


def test_work_ends_at_its_next_tile_when_the_service_closes(tmp_path, service):
    image = save_pil(tmp_path / "a.png", Image.fromarray(random_pixels(3, 8, 20, 21)))
    has_begun, go_on = threading.Event(), threading.Event()

    def on_tile(done: int, total: int) -> None:
        has_begun.set()
        assert done == 0 and go_on.wait(60)

    with ThreadPoolExecutor(2) as pool:
        work = pool.submit(service.upscale, image, "CDSR_S", 2, on_tile)
        assert has_begun.wait(60)
        closing = pool.submit(service.close)
        time.sleep(0.1)
        assert not closing.done()
        go_on.set()
        closing.result(timeout=60)
        with pytest.raises(Cancelled):
            work.result(timeout=60)
    with pytest.raises(Cancelled):
        service.upscale(image, "CDSR_S", 2)


def test_a_shortage_of_memory_is_for_one_image(tmp_path, service):
    image = save_pil(tmp_path / "a.png", Image.fromarray(random_pixels(3, 8, 20, 21)))
    service._upscaler("CDSR_S", 2).tile = 16
    tiles = []
    service.upscale(image, "CDSR_S", 2, lambda done, total: tiles.append(total))
    assert set(tiles) == {1}


def test_the_upload_at_work_stays(service):
    (service.folder / "upload").mkdir()
    image = save_pil(service.folder / "upload" / "a.png", Image.fromarray(random_pixels(3, 8, 20, 21)))

    def on_tile(*_):
        hour_ago = time.time() - 4000
        os.utime(image.parent, (hour_ago, hour_ago))
        service.sweep()

    os.utime(image.parent, (0, 0))  # at work from the first moment on
    assert service.upscale(image, "CDSR_S", 2, on_tile).restored.shape == (40, 42, 3)
    service.sweep()
    with pytest.raises(ValueError, match="This image is gone, as files are removed after an hour"):
        service.upscale(image, "CDSR_S", 2)


@pytest.mark.parametrize(("channels", "bits"), [(1, 8), (2, 16), (3, 16), (4, 8), (4, 16)])
def test_a_view_takes_little_memory(channels, bits):
    image = PixelImage(random_pixels(channels, bits, 900, 1000))
    tracemalloc.start()
    shown = _view(image, 100)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert shown.shape == (90, 100, 3) and shown.dtype == np.uint8
    assert peak < 11 * 900 * 1000  # bytes: without transparency in 16 bits, and in 8
    assert np.array_equal(_view(image, 2000), image.flatten(BACKGROUND).rgb)


def test_a_view_shows_nothing_of_what_is_transparent():
    pixels = np.zeros((400, 400, 4), np.uint8)
    pixels[102:298, 102:298] = 255
    shown = _view(PixelImage(pixels), 100)
    assert shown.min() >= 236


def test_old_files_are_swept_away(service):
    for name in ("upload/a.png", "results/1/a_x2.png", "results/2/b_x2.png"):
        (service.folder / name).parent.mkdir(parents=True)
        (service.folder / name).write_bytes(b"x")
    hour_ago = time.time() - 4000
    for name in ("upload", "results/1"):
        os.utime(service.folder / name, (hour_ago, hour_ago))
    service.sweep()
    assert sorted(path.relative_to(service.folder).as_posix() for path in service.folder.rglob("*")) == [
        "results",
        "results/2",
        "results/2/b_x2.png",
    ]


def test_an_upload_that_waits_is_kept_until_its_turn_or_its_end(service):
    pytest.importorskip("gradio")
    from web.page import build_page

    hour_ago = time.time() - 4000
    for name in ("waits", "left"):
        (service.folder / name).mkdir()
        (service.folder / name / "a.png").touch()
        os.utime(service.folder / name, (hour_ago, hour_ago))
    calls, visitor = functions_of(build_page(service, queue_size=2)), SimpleNamespace(session_hash="v")
    calls["hold"](None, visitor)
    calls["hold"](str(service.folder / "waits/a.png"), visitor)
    for _ in range(2):  # the time does not run while it waits
        os.utime(service.folder / "waits", (hour_ago, hour_ago))
        service.sweep()
        assert [path.name for path in service.folder.iterdir()] == ["waits"]
    calls["cancel"](visitor)
    service.sweep()
    assert (service.folder / "waits").is_dir()  # an hour from now on
    os.utime(service.folder / "waits", (hour_ago, hour_ago))
    service.sweep()
    assert not list(service.folder.iterdir())


def test_what_another_thread_swept_away_is_no_error(service, monkeypatch):
    hour_ago = time.time() - 4000
    for name in ("a", "b"):
        (service.folder / name).mkdir()
        os.utime(service.folder / name, (hour_ago, hour_ago))
    remove, folders = shutil.rmtree, [service.folder / name for name in "ab"]

    def remove_both(*_: object, **__: object) -> None:
        for folder in folders:
            remove(folder)

    monkeypatch.setattr(shutil, "rmtree", remove_both)
    service.sweep()
    assert not list(service.folder.glob("?"))


def test_the_page_listens_on_loopback_unless_told_otherwise():
    assert parse_options([]).host == "127.0.0.1"
    assert parse_options(["--host", "0.0.0.0"]).host == "0.0.0.0"


def test_without_gradio_the_page_says_what_to_install(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "web.page", raising=False)
    assert main([]) == 1
    assert "pip install -r requirements-web.txt" in caplog.text


@pytest.fixture
def page(weights: Path, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server of its own, and the folder in which it keeps visitors' files; after the test that folder is gone."""
    if not importlib.util.find_spec("gradio"):
        pytest.skip("gradio is not installed")
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    words = [
        "--port",
        "0",
        "--device",
        "cpu",
        "--pre_train",
        str(weights),
        "--max_upload",
        "1",
        "--max_megapixels",
        "1",
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "web", *words], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line.startswith("the page: http://127.0.0.1:"), line
        folder = next(tmp_path.glob("cdsr-web-*"))
        yield line.split()[-1], folder
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=30) == 0
    assert not folder.exists()


@pytest.fixture
def browser(tmp_path: Path):
    """Headless Chromium that downloads into a folder."""
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("chromium or chromedriver is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--window-size=1200,1500",
    ):
        options.add_argument(flag)
    (tmp_path / "downloads").mkdir()
    options.add_experimental_option("prefs", {"download.default_directory": str(tmp_path / "downloads")})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    opened.set_page_load_timeout(60)
    yield opened
    opened.quit()


def wait_for(condition, seconds: float = 60):
    """The first true value of a condition."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError("waited in vain")


def post(url: str, name: str, content: bytes) -> int:
    """Status of an upload, as a browser sends it."""
    body = b"--x\r\nContent-Disposition: form-data; name=files; filename=" + name.encode() + b"\r\n\r\n"
    request = urllib.request.Request(
        url + "gradio_api/upload",
        data=body + content + b"\r\n--x--\r\n",
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_uploads_are_limited_and_other_files_are_not_served(page):
    url, folder = page
    assert post(url, "small.png", bytes(1000)) == 200
    assert post(url, "large.png", bytes(1_500_000)) == 413
    assert not any(path.stat().st_size > 1_000_000 for path in folder.rglob("*"))
    for secret in ("/etc/passwd", str(ROOT / "option.py"), f"{folder}/../weights.safetensors"):
        with pytest.raises(urllib.error.HTTPError, match=r"40[034]"):
            urllib.request.urlopen(f"{url}gradio_api/file={secret}", timeout=30)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_page_in_a_browser(page, browser, tmp_path, weights):
    from selenium.webdriver import ActionChains

    url, folder = page
    skimage = pytest.importorskip("skimage")
    screens = Path(os.environ.get("CDSR_SCREENSHOTS", tmp_path))
    with Image.open(Path(skimage.__file__).parent / "data/astronaut.png") as astronaut:
        image = save_pil(tmp_path / "astronaut.png", astronaut.crop((96, 0, 352, 230)))

    def find(selector: str):
        return next(
            (element for element in browser.find_elements("css selector", selector) if element.is_displayed()), None
        )

    def text(selector: str) -> str:
        element = find(selector)
        return element.text if element else ""

    browser.get(url)
    chooser = wait_for(lambda: browser.find_elements("css selector", "#upload input[type=file]"))[0]

    # What is no image is refused, by name and by content, and said so.
    fake = tmp_path / "fake.png"
    fake.write_text("these are words")
    chooser.send_keys(str(fake))
    wait_for(lambda: "Not taken" in text("#status"))
    browser.save_screenshot(str(screens / "page-refused.png"))

    chooser = wait_for(lambda: browser.find_elements("css selector", "#upload input[type=file]"))[0]
    chooser.send_keys(str(image))
    wait_for(lambda: "Ready" in text("#status"))
    find("#go").click()
    link = wait_for(lambda: find("#download a[href]"), 120)
    wait_for(lambda: "512 × 460 pixels" in text("#status"))
    wait_for(lambda: find("#slider img") and find("#code img"))
    time.sleep(1)
    browser.save_screenshot(str(screens / "page-done.png"))

    # The slider follows the mouse.
    handle = wait_for(lambda: next((name for name in ("#slider .inner", "#slider .icon") if find(name)), None))
    before = find(handle).rect["x"]
    ActionChains(browser).click_and_hold(find(handle)).move_by_offset(-120, 0).release().perform()
    wait_for(lambda: find(handle) and find(handle).rect["x"] < before - 60)
    browser.save_screenshot(str(screens / "page-slid.png"))

    # The download is what the command line gives, byte for byte.
    link.click()
    downloaded = wait_for(lambda: [path for path in (tmp_path / "downloads").glob("*.png") if path.stat().st_size])[0]
    words = ["--cpu", "--model", "CDSR_S", "--pre_train", str(weights), "--dir_demo", str(image)]
    assert command_line.main([*words, "--results", str(tmp_path / "out")]) == 0
    assert downloaded.read_bytes() == (tmp_path / "out/astronaut_x2.png").read_bytes()
    assert read_image(downloaded).pixels.shape == (460, 512, 3)

    # At the width of a phone nothing has to be scrolled sideways.
    browser.set_window_size(500, 900)  # headless Chromium's narrowest; the emulation below goes to 390
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    )
    time.sleep(1)
    browser.save_screenshot(str(screens / "page-phone.png"))
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    browser.execute_script("document.querySelector('#slider').scrollIntoView()")
    time.sleep(0.5)
    browser.save_screenshot(str(screens / "page-phone-slider.png"))

    # Nothing was asked for outside, and the visitor's files lie where they are swept.
    addresses = browser.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    outside = {address for address in addresses if not address.startswith((url, "data:", "blob:"))}
    assert not outside
    assert any(folder.rglob("astronaut_x2.png"))
