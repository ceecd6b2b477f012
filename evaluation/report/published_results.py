"""Published results, to stand beside ours: PSNR in dB and SSIM, both on Y.

Protocol cdsr: from the CDSR paper, which has DASR, IKC and MANet measured by the same protocol.
"""

from data.test_sets import TEST_SETS

REFERENCE = "CDSR"
"""The method that differences are taken from."""

NUM_IMAGES = dict(zip(TEST_SETS, (5, 14, 100, 100), strict=True))
"""Of the sets."""

_CDSR_TABLE: dict[tuple[int, int], dict[str, str]] = {  # (scale, noise): method: PSNR/SSIM in the order of TEST_SETS
    (2, 0): {
        "DASR": "35.30/.9360 31.30/.8683 30.46/.8507 28.66/.8654",
        "IKC": "35.30/.9381 31.48/.8797 30.50/.8545 28.62/.8689",
        "MANet": "35.98/.9420 31.95/.8845 30.97/.8651 29.61/.8880",
        "CDSR": "36.17/.9428 32.14/.8841 31.02/.8643 29.57/.8851",
    },
    (3, 0): {
        "DASR": "33.43/.9151 29.57/.8187 28.58/.7846 26.83/.8174",
        "IKC": "32.94/.9104 29.14/.8162 28.36/.7814 26.34/.8049",
        "MANet": "33.69/.9184 29.81/.8270 28.81/.7932 27.39/.8331",
        "CDSR": "33.81/.9192 29.95/.8275 28.81/.7922 27.44/.8329",
    },
    (4, 0): {
        "DASR": "31.45/.8859 28.12/.7703 27.24/.7284 25.28/.7636",
        "IKC": "31.08/.8781 27.83/.7663 27.12/.7233 25.16/.7609",
        "MANet": "31.54/.8876 28.28/.7727 27.36/.7307 25.66/.7760",
        "CDSR": "31.63/.8885 28.31/.7746 27.38/.7311 25.75/.7783",
    },
    (4, 15): {
        "DASR": "27.48/.7907 25.56/.6723 25.25/.6261 23.30/.6663",
        "IKC": "27.23/.7877 25.55/.6717 25.15/.6236 23.31/.6697",
        "MANet": "27.58/.7915 25.75/.6744 25.30/.6262 23.57/.6760",
        "CDSR": "27.70/.7947 25.81/.6757 25.33/.6277 23.60/.6761",
    },
}


def published_rows(protocol: str, scale: int, noise: float) -> dict[str, dict[str, tuple[float | None, float | None]]]:
    """(PSNR, SSIM) by method and set, to put above ours; empty where nothing is published for that protocol."""
    table = _CDSR_TABLE.get((scale, round(noise)), {}) if protocol == "cdsr" and noise == round(noise) else {}
    return {method: dict(zip(TEST_SETS, map(_pair, row.split()), strict=True)) for method, row in table.items()}


def _pair(text: str) -> tuple[float | None, float | None]:
    psnr, ssim = text.split("/")
    return float(psnr), float(ssim)
