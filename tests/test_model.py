"""The networks against the published ones, and against identities."""

import copy
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from loss import contrastive_loss
from model import MODELS, create_model, register
from model.cdsr import CDSR
from model.dqa import DQA, CodeQuery
from model.dynamic_conv import dynamic_depthwise_conv, sum_of_shifted_products
from model.encoder import Encoder
from model.moco import MoCo
from model.published import TRAINING_ONLY, load_published, published_name, to_published
from tests.support.weights import ASSETS, chw, filled_weights
from utils.device import autocast, select_device


@pytest.fixture(scope="module")
def filled_model() -> CDSR:
    model = CDSR(scale=2).eval()
    load_published(model, filled_weights("released_keys_x2.json", 11), "fill")
    return model


@pytest.mark.parametrize("index", [0, 1])
def test_forward_equals_published(filled_model: CDSR, index: int) -> None:
    case = np.load(ASSETS / "forward_x2.npz")
    lr = chw(case[f"lr{index}"])[None].float()
    with torch.inference_mode():
        code = filled_model.encode(lr)
        sr = filled_model(lr)
    np.testing.assert_allclose(code.numpy(), case[f"embedding{index}"], atol=1e-5)
    np.testing.assert_allclose(sr[0].movedim(0, -1).numpy(), case[f"sr{index}"], atol=0.01)


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "tolerance"), [("single", 0.01), ("bf16", 2.0), ("half", 0.5)])
def test_forward_on_a_gpu_equals_published(filled_model: CDSR, precision: str, tolerance: float) -> None:
    case = np.load(ASSETS / "forward_x2.npz")
    device = select_device("auto")
    model = copy.deepcopy(filled_model).to(device)
    lr = chw(case["lr0"])[None].float().to(device)
    with torch.inference_mode(), autocast(lr.device, precision):
        sr = model(lr).float().cpu()
    error = np.abs(sr[0].movedim(0, -1).numpy() - case["sr0"])
    assert error.mean() <= tolerance / 4
    assert error.max() <= tolerance


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_names_and_shapes_equal_published(scale: int) -> None:
    published = json.loads((ASSETS / f"released_keys_x{scale}.json").read_text())
    own = {name: list(tensor.shape) for name, tensor in to_published(CDSR(scale=scale).state_dict()).items()}
    assert own == published


def train_three_steps(dtype: torch.dtype) -> tuple[list[float], list[float], dict[str, float], int]:
    case = np.load(ASSETS / "train_x2.npz")
    weights = filled_weights("training_keys_x2.json", int(case["seed"]))
    model = CDSR(scale=2)
    load_published(model, weights, "fill")
    moco = MoCo(model.encoder)
    moco.queue.copy_(weights["E.queue"])
    moco.queue_pointer.copy_(weights["E.queue_ptr"])
    model.to(dtype).train()
    moco.to(dtype).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=float(case["lr_rate"]))
    l1, contrastive = [], []
    for lr, hr in zip(chw(case["lr"]).to(dtype), chw(case["hr"]).to(dtype), strict=True):
        code, logits, keys = moco.contrast(model.encoder, lr[:, 0], lr[:, 1])
        l1_loss = F.l1_loss(model.super_resolve(lr[:, 0], code), hr[:, 0])
        contrast = contrastive_loss(logits)
        optimizer.zero_grad()
        (l1_loss + contrast).backward()
        optimizer.step()
        moco.enqueue(keys)
        l1.append(l1_loss.item())
        contrastive.append(contrast.item())
    state = to_published(model.state_dict())
    state |= {
        published_name(f"encoder.{name}").replace("encoder_q", "encoder_k"): value
        for name, value in moco.key_encoder.state_dict().items()
    }
    norms = {str(name): state[str(name)].norm().item() for name in case["probe_names"]}
    return l1, contrastive, norms, int(moco.queue_pointer)


@pytest.mark.parametrize(
    ("dtype", "loss_tolerance", "norm_tolerance"), [(torch.float32, 1e-4, 1e-3), (torch.float64, 1e-5, 1e-4)]
)
def test_training_equals_published(dtype: torch.dtype, loss_tolerance: float, norm_tolerance: float) -> None:
    case = np.load(ASSETS / "train_x2.npz")
    l1, contrastive, norms, pointer = train_three_steps(dtype)
    np.testing.assert_allclose(l1, case["l1"], rtol=loss_tolerance)
    np.testing.assert_allclose(contrastive, case["contrast"], rtol=loss_tolerance)
    np.testing.assert_allclose(list(norms.values()), case["probe"], rtol=norm_tolerance)
    assert pointer == int(case["queue_ptr"][0])


def test_a_batch_equals_its_singles(filled_model: CDSR) -> None:
    lr = torch.rand(3, 3, 20, 17, generator=torch.Generator().manual_seed(0)) * 255
    with torch.inference_mode():
        together = filled_model(lr)
        alone = torch.cat([filled_model(image[None]) for image in lr])
    torch.testing.assert_close(together, alone, atol=1e-3, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 30), (12, 11)])
def test_images_smaller_than_a_patch(filled_model: CDSR, height: int, width: int) -> None:
    with torch.inference_mode():
        sr = filled_model(torch.full((1, 3, height, width), 128.0))
    assert sr.shape == (1, 3, 2 * height, 2 * width)
    assert torch.isfinite(sr).all()


def test_dynamic_depthwise_convolution_by_value() -> None:
    generator = torch.Generator().manual_seed(1)
    feat = torch.randn(2, 3, 6, 5, generator=generator)
    kernels = torch.randn(2, 3, 3, 3, generator=generator)
    result = dynamic_depthwise_conv(feat, kernels)
    torch.testing.assert_close(sum_of_shifted_products(feat, kernels), result)
    for sample in range(2):
        for channel in range(3):
            single = F.conv2d(
                feat[sample : sample + 1, channel : channel + 1], kernels[sample, channel][None, None], padding=1
            )
            torch.testing.assert_close(result[sample, channel], single[0, 0])


def test_gamma_zero_leaves_the_code_as_it_is() -> None:
    query = CodeQuery(8)
    code = torch.randn(2, 8)
    assert torch.equal(query(torch.randn(2, 8), code), code)


def test_dqa_attends_as_defined() -> None:
    torch.manual_seed(0)
    dqa = DQA(4)
    dqa.code_query.gamma.data.fill_(0.7)
    feat, code = torch.randn(1, 4, 3, 3), torch.randn(1, 4)
    query, key, value = (getattr(dqa.code_query, name) for name in ("query", "key", "value"))
    q, k, v = query(feat.mean((2, 3)))[0], key(code)[0], value(code)[0]
    expected = code.clone()
    for i in range(4):
        weights = torch.softmax(torch.stack([q[i] * k[j] for j in range(4)]), 0)
        expected[0, i] += 0.7 * sum(weights[j] * v[j] for j in range(4))
    torch.testing.assert_close(dqa.code_query(feat.mean((2, 3)), code), expected)
    told = DQA.forward(dqa, feat, code, lambda other: feat.mean((2, 3)) + 0 * other[:, :, 0, 0])
    assert torch.equal(dqa(feat, code), told)


def test_the_queue_wraps_round() -> None:
    encoder = create_model("CDSR_S", 2).encoder
    moco = MoCo(encoder, queue_size=10)
    keys = torch.arange(7.0)[:, None].expand(7, encoder.code_dim)
    moco.enqueue(keys)
    moco.enqueue(keys + 100)
    assert moco.queue[0].tolist() == [103, 104, 105, 106, 4, 5, 6, 100, 101, 102]
    assert moco.queue_pointer.item() == 4


def test_the_key_encoder_follows_by_momentum_without_gradient() -> None:
    encoder = create_model("CDSR_S", 2).encoder
    moco = MoCo(encoder, queue_size=16)
    before = moco.key_encoder.projection[0].weight.clone()
    encoder.projection[0].weight.data += 1
    moco.update_key_encoder(encoder)
    torch.testing.assert_close(moco.key_encoder.projection[0].weight, before + 0.001)
    assert not any(parameter.requires_grad for parameter in moco.parameters())
    assert moco.eval().key_encoder.training


def test_the_small_model_costs_about_an_eighth() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    flops = {}
    for name in ("CDSR", "CDSR_S"):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            create_model(name, 2).eval()(torch.zeros(1, 3, 48, 48))
        flops[name] = counter.get_total_flops()
    assert 0.12 < flops["CDSR_S"] / flops["CDSR"] < 0.14


def test_a_file_for_another_scale_is_refused() -> None:
    with pytest.raises(ValueError, match=r"x3\.pt does not fit: it holds CDSR weights for scale 3 .* takes .* scale 2"):
        load_published(CDSR(scale=2), filled_weights("released_keys_x3.json", 1), "x3.pt")


def test_a_file_for_another_model_is_refused_and_the_model_kept() -> None:
    model = create_model("CDSR_S", 2)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match="10 blocks of 64 features.*2 blocks of 64 features"):
        load_published(model, filled_weights("released_keys_x2.json", 1), "big.pt")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_training_files_of_the_published_code_load() -> None:
    weights = filled_weights("training_keys_x2.json", 3)
    assert any(name.startswith(TRAINING_ONLY) for name in weights)
    model = CDSR(scale=2)
    load_published(model, weights, "training.pt")
    assert torch.equal(model.sr_network.head.weight, weights["G.conv_first.weight"])


@pytest.mark.parametrize("name", MODELS)
def test_traits_are_what_a_network_has(name: str) -> None:
    model = create_model(name, 2)
    assert model.is_trainable == any(True for _ in model.parameters())
    assert model.is_contrastive == isinstance(getattr(model, "encoder", None), Encoder)
    assert model.has_variants == hasattr(model, "variant")


def test_the_registry_refuses_a_name_twice() -> None:
    with pytest.raises(ValueError, match="registered already"):
        register("CDSR", CDSR)
    with pytest.raises(ValueError, match="CDSR_S"):
        create_model("CSDR", 2)
