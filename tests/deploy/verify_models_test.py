"""verify_models, the step that runs before the server starts, on real folders."""

import subprocess

import pytest

from deployed import KUBERNETES, ROOT

PROGRAM = ROOT / "deploy/verify_models"
SUMS = KUBERNETES / "base/SHA256SUMS"


def verify(repository, sums):
    return subprocess.run([str(PROGRAM), str(repository), str(sums)], capture_output=True, text=True,
                          check=False)


@pytest.fixture(name="repository")
def _repository(tmp_path):
    """Two small models, and the list of their sums."""
    folder = tmp_path / "models"
    for name in ("one", "two"):
        (folder / name / "unet").mkdir(parents=True)
        (folder / name / "model_index.json").write_text("{}")
        (folder / name / "unet/diffusion_pytorch_model.safetensors").write_bytes(name.encode() * 999)
        (folder / name / "README.md").write_text("not read by the server, so not in the list")
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*")
                   if path.suffix in (".json", ".safetensors"))
    sums = subprocess.run(["sha256sum", *names], cwd=folder, check=True, capture_output=True).stdout
    (tmp_path / "SHA256SUMS").write_bytes(sums)
    return folder


@pytest.fixture(name="sums")
def _sums(tmp_path):
    return tmp_path / "SHA256SUMS"


def test_the_embedded_models_have_the_sums_of_the_base():
    result = verify(ROOT / "models", SUMS)
    assert result.returncode == 0, result.stderr
    models = len(list((ROOT / "models").glob("*/model_index.json")))
    assert result.stdout == f"verified {len(SUMS.read_text().splitlines())} files of {models} models\n"


def test_approved_files_pass(repository, sums):
    result = verify(repository, sums)
    assert (result.returncode, result.stdout) == (0, "verified 4 files of 2 models\n"), result.stderr


def test_one_changed_bit_is_found(repository, sums):
    weights = repository / "two/unet/diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    result = verify(repository, sums)
    assert result.returncode != 0
    assert "two/unet/diffusion_pytorch_model.safetensors" in result.stdout + result.stderr


@pytest.mark.parametrize("name", ["one/unet/more.safetensors", "one/unet/config.json",
                                  "one/tokenizer/merges.txt", "three/model_index.json", "vae/config.json",
                                  "single.safetensors", "single.json", "tokenizers/clip/vocab.json",
                                  "tokenizers/clip/merges.txt"])
def test_a_file_that_nobody_approved_is_found(repository, sums, name):
    (repository / name).parent.mkdir(exist_ok=True, parents=True)
    (repository / name).write_text("{}")
    result = verify(repository, sums)
    assert result.returncode != 0 and name in result.stderr


def test_encoders_and_single_files_are_models_too(repository, sums):
    (repository / "v&ae").mkdir()
    (repository / "v&ae/config.json").write_text("{}")
    (repository / "single.safetensors").write_text("weights")
    more = subprocess.run(["sha256sum", "v&ae/config.json", "single.safetensors"], cwd=repository, check=True,
                          capture_output=True, text=True).stdout
    sums.write_text(sums.read_text() + more)
    result = verify(repository, sums)
    assert (result.returncode, result.stdout) == (0, "verified 6 files of 4 models\n"), result.stderr
    (repository / "single.safetensors").write_text("other weights")
    assert verify(repository, sums).returncode != 0


def test_shared_tokenizers_are_verified_and_are_no_model(repository, sums):
    vocabulary = repository / "tokenizers/clip/vocab.json"
    vocabulary.parent.mkdir(parents=True)
    vocabulary.write_text("{}")
    more = subprocess.run(["sha256sum", "tokenizers/clip/vocab.json"], cwd=repository, check=True,
                          capture_output=True, text=True).stdout
    sums.write_text(sums.read_text() + more)
    result = verify(repository, sums)
    assert (result.returncode, result.stdout) == (0, "verified 5 files of 2 models\n"), result.stderr
    vocabulary.write_text('{"a": 1}')
    assert verify(repository, sums).returncode != 0


def test_tokenizers_alone_are_no_repository(tmp_path, sums):
    (tmp_path / "only/tokenizers/clip").mkdir(parents=True)
    (tmp_path / "only/tokenizers/clip/vocab.json").write_text("{}")
    sums.write_text("")
    result = verify(tmp_path / "only", sums)
    assert result.returncode != 0 and "no model" in result.stderr


def test_a_missing_file_is_found(repository, sums):
    (repository / "one/unet/diffusion_pytorch_model.safetensors").unlink()
    result = verify(repository, sums)
    assert result.returncode != 0 and "one/unet" in result.stdout + result.stderr


def test_a_link_is_followed(repository, sums, tmp_path):
    weights = repository / "one/unet/diffusion_pytorch_model.safetensors"
    elsewhere = tmp_path / "elsewhere"
    weights.rename(elsewhere)
    weights.symlink_to(elsewhere)
    assert verify(repository, sums).returncode == 0
    elsewhere.write_bytes(b"other")
    assert verify(repository, sums).returncode != 0


def test_folders_that_are_no_models_do_not_matter(repository, sums):
    (repository / "lost+found").mkdir()
    (repository / "lost+found/x.safetensors").write_text("ignored by the server, too")
    assert verify(repository, sums).returncode == 0


def test_an_empty_repository_and_a_broken_list_are_refused(repository, sums, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    result = verify(empty, sums)
    assert result.returncode != 0 and "no model" in result.stderr
    assert verify(repository, tmp_path / "absent").returncode != 0
    sums.write_text("not a sum\n" + sums.read_text())
    assert verify(repository, sums).returncode != 0
