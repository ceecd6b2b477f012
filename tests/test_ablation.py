"""CDSR without some of its parts: the paths themselves, and how a file tells which one it is."""

import itertools
import json
from pathlib import Path

import pytest
import torch

import main
import test
from inference import export
from model import MODELS, create_model, open_model, save_model
from model.cdsr import CDSR
from model.common import RGB_RANGE
from model.published import describe, to_published
from model.variant import LPE_KINDS, Variant, variant_of
from tests.support.runs import DENSE, RUN, assert_same, final_state, tiny
from utils.checkpoint import load_weights

ABLATIONS = {
    "--lpe pixel": Variant(lpe="pixel"),
    "--lpe patch": Variant(lpe="patch"),
    "--lpe naive": Variant(lpe="naive"),
    "--no-csc": Variant(csc=False),
    "--no-dqa": Variant(dqa=False),
    "--lpe all": Variant(lpe="all"),
    "--head": Variant(head=True),
}
EVERY = [Variant(*parts) for parts in itertools.product(LPE_KINDS, *((True, False),) * 3)]


@pytest.fixture(autouse=True)
def published_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small network that has the published parts unless a flag takes one away."""
    monkeypatch.setitem(MODELS, "CDSR_S", DENSE)


def small(variant: Variant) -> CDSR:
    torch.manual_seed(0)
    model = create_model("CDSR_S", 2, variant)
    assert isinstance(model, CDSR)
    return model


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 255


@pytest.mark.parametrize("variant", EVERY, ids=str)
def test_no_weight_is_dead_and_names_tell_the_variant(variant: Variant) -> None:
    model = small(variant)
    for name, parameter in model.named_parameters():
        if name.endswith("gamma"):  # at 0 it hides what it weighs
            torch.nn.init.constant_(parameter, 0.5)
    lr = noise(2, 3, 24, 24)
    code = model.encode(lr)
    (model.super_resolve(lr, code).square().mean() + model.encoder.project(code).sum()).backward()
    unused = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert unused == []
    assert variant_of(to_published(model.state_dict())) == variant


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        ("--lpe pixel", "lpe.patch_branch"),
        ("--lpe patch", "lpe.pixel_branch"),
        ("--lpe naive", "lpe."),
        ("--no-csc", "csc."),
        ("--no-dqa", ".code_query."),
    ],
)
def test_an_ablated_model_lacks_its_part_alone(flags: str, part: str) -> None:
    whole, ablated = (model.state_dict().keys() for model in (small(Variant()), small(ABLATIONS[flags])))
    assert whole - ablated == {name for name in whole if part in name}
    assert all(name.startswith("encoder.lpe.convs.") for name in ablated - whole)


@pytest.mark.parametrize("kind", ["pixel", "patch"])
def test_one_branch_is_the_whole_encoder_with_the_other_weighed_by_nothing(kind: str) -> None:
    alone, whole = small(Variant(lpe=kind)).encoder.lpe.eval(), small(Variant()).encoder.lpe.eval()
    state = whole.state_dict() | alone.state_dict()
    columns = [alone.mlp[0].weight, torch.zeros_like(alone.mlp[0].weight)]
    state["mlp.0.weight"] = torch.cat(columns if kind == "pixel" else columns[::-1], dim=1)
    whole.load_state_dict(state)
    lr = noise(2, 3, 30, 41) / RGB_RANGE
    with torch.inference_mode():
        torch.testing.assert_close(alone(lr), whole(lr))
        torch.testing.assert_close(alone(lr, 16), whole(lr), atol=1e-5, rtol=1e-4)


def test_without_the_codebook_the_feature_is_the_code() -> None:
    model = small(Variant(csc=False)).eval()
    lr = noise(2, 3, 24, 24)
    assert torch.equal(model.encode(lr), model.encoder.lpe(lr / RGB_RANGE))


def test_without_the_query_a_block_is_the_one_whose_gamma_is_0() -> None:
    whole, ablated = small(Variant()).eval(), small(Variant(dqa=False)).eval()
    ablated.load_state_dict({name: value for name, value in whole.state_dict().items() if ".code_query." not in name})
    lr = noise(1, 3, 24, 24)
    with torch.inference_mode():
        assert torch.equal(ablated(lr), whole(lr))


def test_the_naive_encoder_is_dasr_s() -> None:
    trunk, own = create_model("DASR", 2).encoder.lpe, create_model("CDSR", 2, Variant(lpe="naive")).encoder.lpe
    own.load_state_dict(trunk.state_dict())
    lr = noise(1, 3, 24, 24)
    assert torch.equal(own.eval()(lr), trunk.eval()(lr))


def test_a_file_opens_as_what_it_is(tmp_path: Path) -> None:
    variant = Variant(lpe="naive", csc=False)
    model = small(variant).eval()
    save_model(model, tmp_path / "ablated.pt", {"scale": 2})
    opened = open_model("CDSR_S", 2, tmp_path / "ablated.pt")
    lr = noise(1, 3, 20, 20)
    assert opened.trained_for == {"scale": 2}
    assert opened.variant == variant
    with torch.inference_mode():
        assert torch.equal(opened.eval()(lr), model(lr))
    assert describe(load_weights(tmp_path / "ablated.pt")[0]).endswith("4 blocks of 32 features (--lpe naive --no-csc)")
    assert export.main(["--pre_train", str(tmp_path / "ablated.pt"), "--model", "CDSR_S", "--to", "torchscript"]) == 0
    assert (tmp_path / "ablated.ts").is_file()


def test_models_without_variants_refuse_them() -> None:
    with pytest.raises(ValueError, match="DASR has no ablations: leave out .* --compression"):
        create_model("DASR", 2, Variant(csc=False))


@pytest.mark.parametrize("flags", ABLATIONS)
def test_an_ablation_trains_and_resumes_and_is_tested_as_what_it_is(
    photographs: Path, flags: str, caplog: pytest.LogCaptureFixture
) -> None:
    short = tiny(photographs, "--test_every", "2")
    assert main.main([*short, *flags.split()]) == 0
    expected = final_state()
    variant = ABLATIONS[flags]
    setting = json.loads((RUN / "setting.json").read_text())
    assert {name: setting[name] for name in Variant._fields} == variant._asdict()
    model = max((RUN / "model").iterdir())
    tensors, metadata = load_weights(model)
    assert variant_of(tensors) == variant
    assert metadata.items() >= variant._asdict().items()

    # An interrupted run goes on, the flags left out: the state says what the model is.
    assert main.main([*short, *flags.split(), "--epochs_sr", "1", "--reset"]) == 0
    assert main.main([*short, "--resume", "-1"]) == 0
    assert_same(final_state(), expected)

    evaluate = f"--cpu --model CDSR_S --pre_train {model} --test_path {photographs.parent} --test_sets HR --sig 1"
    assert test.main(evaluate.split()) == 0
    slug = flags.removeprefix("--").replace(" ", "-")
    result = json.loads(next((RUN / "results").glob(f"HR_*_CDSR_S-{slug}.json")).read_text())
    assert result["checkpoint"]["variant"] == variant.marks(Variant())
    other = "--csc" if variant.csc is False else "--no-csc"
    assert test.main([*evaluate.split(), other]) == 1
    assert f"{other} contradicts the weights" in caplog.text
    assert main.main([*short, "--save", "more", "--scale", "3", "--init_from", str(model), "--epochs_sr", "1"]) == 0


def test_flags_that_mean_nothing_for_a_model_are_refused(photographs: Path, caplog: pytest.LogCaptureFixture) -> None:
    for model in ("DASR", "bicubic"):
        assert main.main(tiny(photographs, "--model", model, "--no-csc")) == 1
        assert f"{model} has no ablations" in caplog.text
    assert not RUN.exists()


def test_a_state_of_another_model_is_refused(photographs: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert main.main(tiny(photographs, "--epochs_sr", "0", "--test_every", "1")) == 0
    assert main.main(tiny(photographs, "--model", "DASR_S", "--resume", "-1")) == 1
    assert "the state to resume does not fit: it holds CDSR weights" in caplog.text
    assert main.main(tiny(photographs, "--no-dqa", "--resume", "-1")) == 1
    assert "--no-dqa contradicts the weights, which are for --dqa: give --dqa, or other weights" in caplog.text


def test_without_a_code_it_is_the_sr_network_under_zeros(tmp_path: Path) -> None:
    model = create_model("CDSR_S_unconditional", 2).eval()
    lr = torch.rand(2, 3, 12, 10) * 255
    with torch.inference_mode():
        assert torch.equal(model.encode(lr), torch.zeros(2, model.size.code_dim))
        assert torch.equal(model(lr), model.sr_network(lr, torch.zeros(2, model.size.code_dim)))
    save_model(model, tmp_path / "plain.pt", {})
    with torch.inference_mode():
        assert torch.equal(open_model("CDSR_S_unconditional", 2, tmp_path / "plain.pt").eval()(lr), model(lr))
    with pytest.raises(ValueError, match="holds unconditional CDSR weights for scale 2 .* takes oracle weights"):
        open_model("CDSR_S_oracle", 2, tmp_path / "plain.pt")


def test_a_network_without_a_code_trains_and_is_tested(photographs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = tiny(photographs, "--model", "CDSR_S_unconditional", "--epochs_encoder", "-1", "--freeze_epoch", "1")
    assert main.main(words) == 0
    (weights,) = (RUN / "model").glob("model_2_*.pt")
    words = ["--model", "CDSR_S_unconditional", "--pre_train", str(weights), "--test_path", ".", "--test_sets", "HR"]
    assert test.main(["--cpu", "--scale", "2", *words]) == 0
    assert "| HR" in capsys.readouterr().out
