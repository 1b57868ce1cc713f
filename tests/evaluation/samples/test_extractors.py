"""Where features come from: the right numbers from the right images, under a name that says whose they are."""

import hashlib
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from triptych.errors import TriptychError
from triptych.evaluation.samples.classifier import LabelClassifier
from triptych.evaluation.samples.distances import frechet_distance
from triptych.evaluation.samples.extractors import (
    Extractor,
    from_classifier,
    from_encoder,
    from_torchscript,
    untrained,
)
from triptych.evaluation.subject import BLOCK, Subject
from triptych.nets.classifier import Classifier

CPU = torch.device("cpu")


class Levels(nn.Module):
    """Mean level of each channel; refuses anything but three channels of bytes."""

    def forward(self, x: Tensor) -> Tensor:
        assert x.dtype == torch.uint8 and x.shape[1] == 3
        return x.double().mean((2, 3))


class Inception(nn.Module):
    """Logits, unless features are asked for: those have two dimensions more, as the published file's."""

    def forward(self, x: Tensor, return_features: bool = False) -> Tensor:
        mean = x.float().mean((2, 3))
        if return_features:
            return torch.cat([mean, 2 * mean], 1)[:, :, None, None]
        return mean.sum(1, keepdim=True)


class Total(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.float().sum()


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.float(), x.float()


def scripted(module: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(module).save(str(path))
    return path


def test_images_of_all_blocks_come_back_in_their_order_as_single_precision():
    sizes = []

    def means(x: Tensor) -> Tensor:
        sizes.append(len(x))
        return x.double().mean((1, 2, 3))[:, None]

    x = torch.rand(2 * BLOCK + 3, 1, 2, 2)
    found = Extractor("means", means)(x)
    assert sizes == [BLOCK, BLOCK, 3]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[:, 0], x.mean((1, 2, 3)))


def test_a_classifiers_features_are_those_its_head_reads():
    network = Classifier((1, 8, 8), 3).eval().requires_grad_(False)
    x = torch.rand(9, 1, 8, 8)
    extractor = from_classifier(
        LabelClassifier(network, ("a", "b", "c"), 1.0, None, None, "conv 1234")
    )
    torch.testing.assert_close(network.head(extractor(x)), network(x))
    assert extractor.name == "conv 1234"


def test_an_encoders_features_are_what_it_encodes():
    class Half:
        def encode(self, x: Tensor) -> Tensor:
            return x.flatten(1) / 2

    x = torch.rand(4, 1, 2, 2)
    extractor = from_encoder(Half(), "run 7")
    assert torch.equal(extractor(x), x.flatten(1) / 2)
    assert extractor.name == "run 7"


def test_torchscript_sees_rounded_bytes_and_grey_in_three_channels(tmp_path):
    path = scripted(Levels(), tmp_path / "levels.pt")
    extractor = from_torchscript(path, CPU)
    levels = torch.tensor([0.0, 0.4, 127.4, 127.6, 255.0, 300.0])
    found = extractor((levels / 255).view(-1, 1, 1, 1).expand(-1, 1, 4, 4))
    assert found[:, 0].tolist() == [0, 0, 127, 128, 255, 255]
    assert torch.equal(found, found[:, :1].expand(-1, 3))
    colour = extractor(torch.tensor([1.0, 0.0, 0.2]).view(1, 3, 1, 1).expand(1, 3, 4, 4))
    assert colour.tolist() == [[255, 0, 51]]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest[:8] in extractor.name and "levels" in extractor.name


def test_an_inception_is_asked_for_its_features(tmp_path):
    extractor = from_torchscript(scripted(Inception(), tmp_path / "i.pt"), CPU)
    found = extractor(torch.tensor([1.0, 0.0, 0.2]).view(1, 3, 1, 1).expand(2, 3, 4, 4))
    assert found.tolist() == [[255, 0, 51, 510, 0, 102]] * 2


def test_another_files_features_have_another_name(tmp_path):
    first = from_torchscript(scripted(Levels(), tmp_path / "a.pt"), CPU)
    (tmp_path / "b").mkdir()
    second = from_torchscript(scripted(Inception(), tmp_path / "b" / "a.pt"), CPU)
    assert first.name != second.name


def test_a_file_that_is_no_network_says_so(tmp_path):
    with pytest.raises(TriptychError, match="there is no file"):
        from_torchscript(tmp_path / "none.pt", CPU)
    (tmp_path / "text.pt").write_text("not a network")
    with pytest.raises(TriptychError, match=r"text.pt' is not a TorchScript network"):
        from_torchscript(tmp_path / "text.pt", CPU)
    whole = scripted(Levels(), tmp_path / "cut.pt")
    whole.write_bytes(whole.read_bytes()[:-300])
    with pytest.raises(TriptychError, match="damaged"):
        from_torchscript(whole, CPU)
    torch.save({"weights": torch.zeros(2)}, tmp_path / "state.pt")
    with pytest.raises(TriptychError, match="not a TorchScript network"):
        from_torchscript(tmp_path / "state.pt", CPU)


@pytest.mark.parametrize("module", [Total(), Pair(), nn.Linear(3, 2)])
def test_a_network_of_another_kind_says_so(tmp_path, module: nn.Module):
    with pytest.raises(TriptychError, match=r"other.pt'") as raised:
        from_torchscript(scripted(module, tmp_path / "other.pt"), CPU)
    assert "\n" not in str(raised.value)


def test_untrained_features_see_structure_and_no_global_state(planted):
    """Images and the same images with their pixels shuffled have equal pixel statistics."""
    made = Subject(nn.Identity(), planted(shape=(1, 16, 16)), "none", CPU)
    draw = torch.Generator().manual_seed(0)
    coarse = torch.rand(600, 1, 4, 4, generator=draw)
    images = nn.functional.interpolate(coarse, size=16, mode="bilinear")
    mixed = images.flatten(2)[:, :, torch.randperm(256, generator=draw)].view_as(images)
    extractor = untrained(made)
    floor = frechet_distance(extractor(images[:300]), extractor(images[300:]))
    assert frechet_distance(extractor(images[:300]), extractor(mixed[300:])) > 20 * floor
    torch.manual_seed(12345)
    assert torch.equal(untrained(made)(images[:9]), extractor(images[:9]))
