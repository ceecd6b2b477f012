"""The training set: batches that depend on seed and step alone, from a folder as from an LMDB, bad input survived."""

import json
import shutil
import subprocess
from pathlib import Path

import lmdb
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import data.build_lmdb
from data import build_batches, build_pair_degradation, open_images
from data.build_lmdb import build_lmdb
from data.crop_plan import draw_crops, orient
from data.data_range import parse_range, split_range
from data.degradation import DegradationConfig, create_degradation
from data.lmdb import METADATA_KEY, LmdbSource, encode_metadata, image_key
from data.sources import FolderSource, find_images, large_enough, open_source
from data.training_set import TrainingSet, TrainingSetError
from data.validation import ValidationSet
from tests.support.crops import PATCH, SIZES, batches_of, coordinates, loader_of, make_args, make_crops, truncate
from utils.image import read_rgb, write_image

# Of seed 0, step 12345, 3 images of 100 of 500x500 pixels.
GOLDEN_IMAGES = [46, 85, 45]
GOLDEN_CORNERS = [[[400, 260], [254, 251]], [[319, 213], [6, 82]], [[8, 401], [361, 326]]]
GOLDEN_ORIENTATIONS = [[1, 6], [3, 3], [3, 2]]


@pytest.fixture
def folder(tmp_path) -> Path:
    for index, size in enumerate(SIZES):
        write_image(tmp_path / "HR" / f"img{index + 1}.png", coordinates(index, size))
    return tmp_path / "HR"


@pytest.fixture
def packed(folder) -> Path:
    build_lmdb(folder, folder.parent / "HR.lmdb", progress=False)
    return folder.parent / "HR.lmdb"


# --- the plan of a batch


def test_every_image_is_seen_once_a_pass():
    sizes = np.full((10, 2), 40)
    seen = np.concatenate([draw_crops(0, step, 4, sizes, PATCH).images for step in range(10)])
    passes = seen.reshape(4, 10)  # 10 batches of 4 are 4 passes over 10 images
    assert all(sorted(one) == list(range(10)) for one in passes)
    assert len({tuple(one) for one in passes}) == 4
    more_than_a_pass = draw_crops(0, 0, 25, sizes, PATCH).images
    assert sorted(more_than_a_pass[:10]) == sorted(more_than_a_pass[10:20]) == list(range(10))


def test_crops_reach_every_corner_and_stay_inside():
    sizes = np.array([(PATCH, PATCH + 1), (PATCH + 2, PATCH)])
    tops, lefts = set(), set()
    for step in range(60):
        plan = draw_crops(1, step, 4, sizes, PATCH)
        assert (plan.corners >= 0).all()
        assert (plan.corners + PATCH <= sizes[plan.images][:, None]).all()
        tops |= set(plan.corners[plan.images == 1][..., 0].ravel().tolist())
        lefts |= set(plan.corners[plan.images == 0][..., 1].ravel().tolist())
    assert (tops, lefts) == ({0, 1, 2}, {0, 1})


def test_plan_depends_on_seed_and_step_alone():
    sizes = np.array(SIZES)
    first = draw_crops(5, 7, 4, sizes, PATCH)
    draw_crops(5, 8, 4, sizes, PATCH)
    again, later, other = (draw_crops(*key, 4, sizes, PATCH) for key in ((5, 7), (5, 8), (6, 7)))
    assert all(np.array_equal(getattr(first, name), getattr(again, name)) for name in vars(first))
    assert not np.array_equal(first.corners, later.corners)
    assert not np.array_equal(first.corners, other.corners)


def test_plan_is_what_it_was():
    """A change here changes what every resumed run sees."""
    plan = draw_crops(0, 12345, 3, np.full((100, 2), 500), 96)
    assert plan.images.tolist() == GOLDEN_IMAGES
    assert plan.corners.tolist() == GOLDEN_CORNERS
    assert plan.orientations.tolist() == GOLDEN_ORIENTATIONS


def test_orientations_are_the_eight_of_a_square():
    crop = coordinates(0, (5, 5))
    seen = [orient(crop, k) for k in range(8)]
    assert len({view.tobytes() for view in seen}) == 8
    assert all(np.shares_memory(view, crop) for view in seen)
    expected = [np.rot90(mirrored, k) for mirrored in (crop, crop[:, ::-1]) for k in range(4)]
    assert {view.tobytes() for view in seen} == {view.tobytes() for view in expected}


# --- the batches


def test_pixels_are_those_of_the_source_turned(folder):
    dataset = make_crops(folder)
    drawn = set()
    for step, batch in enumerate(batches_of(dataset, range(60))):
        assert batch.shape == (6, 2, 3, PATCH, PATCH) and batch.dtype == torch.uint8
        plan = draw_crops(3, step, 6, np.array(SIZES), PATCH)
        for row, image in enumerate(plan.images):
            for i, (top, left) in enumerate(plan.corners[row]):
                source = coordinates(image, SIZES[image])[top : top + PATCH, left : left + PATCH]
                crop = batch[row, i].permute(1, 2, 0).numpy()
                assert np.array_equal(crop, orient(source, plan.orientations[row, i]))
                drawn.add(int(plan.orientations[row, i]))
    assert drawn == set(range(8))


def test_no_augment_keeps_images_upright(folder):
    batches = batches_of(make_crops(folder, augment=False))
    down, right = batches[:, :, :, 1].int().diff(dim=-2), batches[:, :, :, 2].int().diff(dim=-1)
    assert (down == 1).all() and (right == 1).all()


def test_folder_and_lmdb_give_the_same_batches(folder, packed):
    assert torch.equal(batches_of(make_crops(folder)), batches_of(make_crops(packed)))


@pytest.mark.parametrize("kind", ["folder", "packed"])
def test_batches_do_not_depend_on_workers(kind, request):
    path = request.getfixturevalue(kind)
    loaders = [loader_of(make_args(path, n_threads=n), range(9)) for n in (0, 2)]
    alone, shared = (batches_of(loader) for loader in loaders)
    assert torch.equal(alone, shared)


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_share_out_the_batch_of_one_process(folder, world_size):
    parts = [batches_of(make_crops(folder, rank=rank, world_size=world_size)) for rank in range(world_size)]
    assert torch.equal(torch.cat(parts, dim=1), batches_of(make_crops(folder)))


def test_batch_that_ranks_cannot_share_is_an_error(folder):
    with pytest.raises(ValueError, match="--batch_size 6 cannot be shared by 4"):
        make_crops(folder, world_size=4)


def test_resuming_goes_on_where_it_stopped(folder):
    whole = batches_of(make_crops(folder))
    resumed, straight = (loader_of(make_args(folder, data_range="2-7/1-1"), range(first, 8)) for first in (5, 0))
    assert torch.equal(batches_of(make_crops(folder), range(5, 8)), whole[5:])
    assert torch.equal(batches_of(resumed), batches_of(straight)[5:])


def test_cache_stays_within_its_bytes(folder):
    names = [f"img{i}.png" for i in range(1, 8)]
    source = FolderSource(folder, names, np.array(SIZES), cache_bytes=10_000)
    for index in [0, 1, 2, 3, 4, 5, 6, 0, 0, 5]:
        assert np.array_equal(source.image(index), coordinates(index, SIZES[index]))
        cached = sum(image.nbytes for image in source._cache.values())
        assert cached == source._cached_bytes <= 10_000
    nothing = FolderSource(folder, names, np.array(SIZES), cache_bytes=0)
    assert nothing.image(2) is nothing.image(2)  # the second crop of a pair never decodes again
    nothing.image(3)
    assert list(nothing._cache) == [3]


def test_worker_outlives_the_signals_of_its_job(folder):
    """Ctrl-C and a job's SIGTERM reach all processes; the trainer needs its loader until it has saved."""
    loader = loader_of(make_args(folder, n_threads=1), range(40))
    batches = iter(loader)
    next(batches)
    (worker,) = batches._workers  # type: ignore[attr-defined]
    for name in ("INT", "TERM"):
        subprocess.run(["sh", "-c", f"kill -{name} {worker.pid}"], check=True)
    assert len(list(batches)) == 39


def test_batches_are_pinned_for_a_gpu_alone(folder, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    args = make_args(folder)
    for device in ("cpu", "cuda"):
        loader = build_batches(args, open_images(args)[0], build_pair_degradation(args), torch.device(device))(range(1))
        assert isinstance(loader, DataLoader) and loader.pin_memory == (device == "cuda")


def test_trainer_can_end_its_worker(folder):
    loader = loader_of(make_args(folder, n_threads=1), range(40))
    batches = iter(loader)
    next(batches)
    (worker,) = batches._workers  # type: ignore[attr-defined]
    worker.terminate()
    worker.join(timeout=10)
    assert not worker.is_alive()


# --- which images


def test_names_are_in_natural_order_in_any_script(tmp_path, packed):
    for name in ("図10.png", "図2.png", "été.webp"):
        write_image(tmp_path / "множество" / name, coordinates(0, (20, 20)))
    source = open_source(tmp_path / "множество")
    assert source.names == ["été.webp", "図2.png", "図10.png"]
    build_lmdb(tmp_path / "множество", tmp_path / "データ.lmdb", progress=False)
    assert open_source(tmp_path / "データ.lmdb").names == source.names
    assert open_source(packed).names == [f"img{i}.png" for i in range(1, 8)]


@pytest.mark.parametrize("below", ["HR", "DF2K/HR", "DIV2K/train"])
def test_images_below_the_folder_are_found(tmp_path, below):
    write_image(tmp_path / below / "a.png", coordinates(0, (20, 20)))
    found, names = find_images(tmp_path)
    assert found / names[0] == tmp_path / below / "a.png"


def test_hr_is_preferred_to_what_lies_beside_it(tmp_path):
    for below in ("HR", "LR"):
        write_image(tmp_path / below / "a.png", coordinates(0, (20, 20)))
    assert find_images(tmp_path) == (tmp_path / "HR", ["a.png"])


def test_folder_without_images_says_what_was_expected(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"holds no images: looked for .*\.png.* in HR/.*Expected .*0001\.png"):
        open_source(tmp_path)
    for missing in ("nowhere", "nowhere.lmdb"):
        with pytest.raises(ValueError, match=f"{missing} is missing"):
            open_source(tmp_path / missing)


def test_unreadable_and_small_images_are_named_and_skipped(folder, caplog):
    (folder / "fake.png").write_text("not an image")
    (folder / "empty.webp").touch()
    source = large_enough(open_source(folder), 18, "to train on")
    assert source.names == ["img1.png", "img3.png", "img4.png", "img5.png", "img7.png"]
    for name in ("fake.png", "empty.webp", "img2.png", "img6.png"):
        assert name in caplog.text
    assert len(caplog.records) == 2


def test_no_usable_image_is_an_error(tmp_path, folder):
    with pytest.raises(ValueError, match="none of the 7 images to train on is at least 192 pixels"):
        large_enough(open_source(folder), 192, "to train on")
    with pytest.raises(ValueError, match="none of the 1 images held out for validation is at least 20 pixels"):
        open_images(make_args(folder, patch_size=10, data_range="1-7/2-2"))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_text("fake")
    with pytest.raises(ValueError, match=r"none of its 1 images can be read; .*a\.png"):
        open_source(tmp_path / "bad")


@pytest.mark.parametrize("num_workers", [0, 2])
def test_truncated_image_is_replaced_by_the_next(folder, num_workers, caplog):
    write_image(folder / "img2.png", np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8))
    truncate(folder / "img2.png")  # its header is whole
    args = make_args(folder, n_threads=num_workers, data_range="1-6/7-7")
    loader = loader_of(args, range(10))
    assert isinstance(loader.dataset, TrainingSet)
    source = loader.dataset.source
    assert len(source.names) == 6
    batches = batches_of(loader)
    seen = batches[:, :, 0, 0, 0, 0]
    planned = np.stack([draw_crops(3, step, 6, source.sizes, PATCH).images for step in range(10)])
    assert (planned == 1).any()
    assert np.array_equal(seen.numpy(), np.where(planned == 1, 2, planned))
    if num_workers == 0:
        assert caplog.text.count("img2.png") == 1
    assert torch.equal(batches, batches_of(loader_of(make_args(folder, data_range="1-6/7-7"), range(10))))


@pytest.mark.parametrize("num_workers", [0, 1])
def test_half_of_the_images_broken_stops(folder, num_workers):
    loader = loader_of(make_args(folder, n_threads=num_workers, data_range="1-6/7-7"), range(8))
    shutil.rmtree(folder)  # the data set vanishes in the middle of a run
    with pytest.raises(TrainingSetError) as error:
        batches_of(loader)
    for _ in range(6):  # a worker goes on with the batches asked for ahead: it must fail again, not hang
        with pytest.raises(TrainingSetError):
            loader.dataset[0]
    assert str(error.value).startswith("4 of 6 training images cannot be read (the last: cannot read ")
    assert str(error.value).endswith("no such file): is --dir_data still there and whole?")


# --- training and validation


@pytest.mark.parametrize(
    ("data_range", "count", "train", "validation"),
    [
        ("1-3450/801-810", 3450, [*range(800), *range(810, 3450)], range(800, 810)),
        ("1-3450/801-810", 900, [*range(800), *range(810, 900)], range(800, 810)),
        ("1-3450/801-810", 805, range(800), range(800, 805)),
        ("1-3450/801-810", 404, range(394), range(394, 404)),
        ("1-3450/801-810", 40, range(38), range(38, 40)),
        ("1-3450/801-810", 2, [0], [1]),
        ("3-5/1-2", 9, range(2, 5), range(2)),
        ("2-2/4-4", 4, [1], [3]),
    ],
)
def test_ranges(data_range, count, train, validation, caplog):
    got_train, got_validation = split_range(data_range, count)
    assert got_train.tolist() == list(train)
    assert got_validation.tolist() == list(validation)


def test_cut_range_warns(caplog):
    split_range("1-3450/801-810", 3450)
    assert not caplog.records
    split_range("1-3450/801-810", 411)
    assert "goes beyond the 411 images there are: 401 for training, 402 to 411 for validation" in caplog.text


@pytest.mark.parametrize(
    "data_range", ["", "1-800", "1-800/", "0-5/6-7", "5-1/6-7", "1-5/8-7", "a-b/c-d", "1-5/6-7/8-9"]
)
def test_malformed_ranges_are_errors(data_range):
    with pytest.raises(ValueError, match="--data_range .* such as 1-3450/801-810"):
        parse_range(data_range)


def test_ranges_that_leave_nothing_are_errors():
    for data_range, count in (("11-20/1-2", 10), ("1-5/1-5", 10)):
        with pytest.raises(ValueError, match="leaves none of the 10 images for training"):
            split_range(data_range, count)
    with pytest.raises(ValueError, match="not enough"):
        split_range("1-2/3-4", 1)


@pytest.mark.parametrize("kind", ["folder", "packed"])
def test_validation_images_are_held_out(kind, request, folder):
    args = make_args(request.getfixturevalue(kind), data_range="1-7/3-4")
    loader = loader_of(args, range(20))
    validation = ValidationSet(open_images(args)[1], create_degradation(DegradationConfig(scale=1)))
    assert [sample.image for sample in validation] == ["img3.png", "img4.png"]
    assert np.array_equal(validation[1].hr, read_rgb(folder / "img4.png"))
    assert set(batches_of(loader)[:, :, 0, 0].unique().tolist()) == {0, 1, 4, 5, 6}


def test_the_same_images_are_held_out_at_any_patch_in_a_folder_with_broken_files_and_its_lmdb(folder):
    (folder / "img2.png").write_text("not an image")
    truncate(folder / "img3.png")  # its header is whole
    build_lmdb(folder, folder.parent / "HR.lmdb", progress=False)
    for path in (folder, folder.parent / "HR.lmdb"):
        for patch_size, context in ((8, 0), (9, 0), (8, 10)):
            args = make_args(path, data_range="1-7/5-6", patch_size=patch_size, context=context)
            images, held_out = open_images(args)
            side = 2 * max(patch_size, context)
            names = [f"img{i + 1}.png" for i in (4, 5) if min(SIZES[i]) >= side]
            assert held_out.names == names
            readable = (0, 2, 3, 6) if path == folder else (0, 3, 6)
            assert images.names == [f"img{i + 1}.png" for i in readable if min(SIZES[i]) >= side]


# --- the packed set


def test_packed_pixels_are_views_of_the_file(folder, packed):
    source = LmdbSource(packed)
    assert np.array_equal(source.sizes, SIZES)
    for index, name in enumerate(source.names):
        image = source.image(index)
        assert np.array_equal(image, read_rgb(folder / name))
        assert not image.flags.writeable and not image.flags.owndata
        assert np.shares_memory(source.image(index), image)
    assert [file.name for file in folder.parent.iterdir() if file != folder] == ["HR.lmdb"]  # no lock, nothing left


def test_lmdb_folder_is_known_by_its_data_file(folder, packed):
    (folder.parent / "set").mkdir()
    packed.replace(folder.parent / "set" / "data.mdb")
    assert torch.equal(batches_of(make_crops(folder)), batches_of(make_crops(folder.parent / "set")))


def test_metadata_are_json(packed):
    with lmdb.open(str(packed), subdir=False, lock=False, readonly=True) as environment, environment.begin() as reader:
        metadata = json.loads(reader.get(METADATA_KEY))
    assert metadata["format"] == "cdsr-lmdb" and metadata["version"] == 1
    assert metadata["pictures"][0] == {"name": "img1.png", "height": 40, "width": 31}


def test_unreadable_images_keep_their_numbers_in_the_lmdb(folder, caplog):
    (folder / "fake.png").write_text("not an image")
    truncate(folder / "img5.png")
    assert build_lmdb(folder, folder.parent / "a.lmdb", num_threads=2, progress=False) == 6
    assert "fake.png" in caplog.text and "img5.png" in caplog.text
    source = LmdbSource(folder.parent / "a.lmdb")
    assert source.names == open_source(folder).names
    assert [source.names[i] for i in np.flatnonzero(~source.sizes.any(axis=1))] == ["fake.png", "img5.png"]
    assert np.array_equal(source.image(6), read_rgb(folder / "img6.png"))


def test_packing_in_several_commits(folder, packed, monkeypatch):
    monkeypatch.setattr(data.build_lmdb, "_COMMIT_BYTES", 1)
    build_lmdb(folder, folder.parent / "b.lmdb", progress=False)
    assert torch.equal(batches_of(make_crops(packed)), batches_of(make_crops(folder.parent / "b.lmdb")))


def test_packing_refuses_to_overwrite(folder, packed):
    before = packed.read_bytes()
    with pytest.raises(ValueError, match="exists already"):
        build_lmdb(folder, packed, progress=False)
    with pytest.raises(ValueError, match=r"must end in \.lmdb"):
        build_lmdb(folder, folder.parent / "set", progress=False)
    assert packed.read_bytes() == before
    (folder / "img7.png").unlink()
    assert build_lmdb(folder, packed, reset=True, progress=False) == 6
    assert len(LmdbSource(packed).names) == 6


def test_failed_packing_leaves_nothing(folder, monkeypatch):
    monkeypatch.setattr(data.build_lmdb, "_map_size", lambda names, sizes: 40960)
    with pytest.raises(ValueError, match=r"cannot write .*a\.lmdb: .*MAP_FULL"):
        build_lmdb(folder, folder.parent / "a.lmdb", progress=False)
    monkeypatch.setattr(data.build_lmdb, "_map_size", lambda names, sizes: 1 << 60)
    with pytest.raises(ValueError, match=r"needs up to .* GB, but only"):
        build_lmdb(folder, folder.parent / "a.lmdb", progress=False)
    assert list(folder.parent.iterdir()) == [folder]


def test_command_line(folder, capsys):
    out = folder.parent / "HR.lmdb"
    data.build_lmdb.main(["--dir_data", str(folder), "--out", str(out)])
    assert f"7 images in {out}" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        data.build_lmdb.main(["--dir_data", str(folder / "nowhere"), "--out", str(out)])
    assert stop.value.code == 2
    assert "exists already" in capsys.readouterr().err


def test_truncated_lmdb_is_an_error_not_a_crash(packed):
    content = packed.read_bytes()
    for length in (0, 100, 5000, len(content) // 2, len(content) - 1):
        short = packed.with_name(f"short{length}.lmdb")
        short.write_bytes(content[:length])
        with pytest.raises(ValueError, match=f"short{length}.lmdb"):
            open_source(short)


def test_damaged_lmdb_is_an_error_of_one_line(packed):
    """A file of full length with a page of zeros, as a download in part leaves it."""
    content, page = packed.read_bytes(), 4096
    leaf = next(  # pages begin with their number, and a leaf's flag is 2
        start
        for start in range(0, len(content), page)
        if content[start : start + 12] == (start // page).to_bytes(8, "little") + b"\0\0\2\0"
    )
    packed.write_bytes(content[:leaf] + bytes(page) + content[leaf + page :])
    with pytest.raises(ValueError, match=r"HR\.lmdb is damaged .*MDB_CORRUPTED.*; make it again"):
        open_source(packed)


def write_lmdb(path: Path, content: dict[bytes, bytes]) -> Path:
    with lmdb.open(str(path), subdir=False, lock=False) as environment, environment.begin(write=True) as writer:
        for key, value in content.items():
            writer.put(key, value)
    return path


def test_foreign_lmdbs_are_errors(tmp_path):
    good = encode_metadata(["a.png"], [(20, 20)])
    test_kernels = {
        "junk": None,
        "foreign": {b"0001": b"png"},
        "binary": {METADATA_KEY: b"\x80\x04"},
        "list": {METADATA_KEY: b"[1]"},
        "newer": {METADATA_KEY: good.replace(b'"version": 1', b'"version": 2')},
        "edited": {METADATA_KEY: good.replace(b'"height": 20', b'"height": 40')},
        "missing": {METADATA_KEY: good},
        "partial": {METADATA_KEY: good, image_key(0): bytes(100)},
    }
    for name, content in test_kernels.items():
        path = tmp_path / f"{name}.lmdb"
        if content is None:
            path.write_bytes(b"junk" * 5000)
        else:
            write_lmdb(path, content)
        with pytest.raises(ValueError, match=rf"{name}\.lmdb"):
            open_source(path)
    assert open_source(write_lmdb(tmp_path / "good.lmdb", {METADATA_KEY: good, image_key(0): bytes(1200)}))
