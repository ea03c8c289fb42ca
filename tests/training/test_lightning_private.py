"""Lightning's private parts are used in one file, with versions that it was tested with."""

import re
import tomllib

import lightning
import torch
from packaging.requirements import Requirement
from packaging.version import Version

from deeplab_lit.training import lightning_private
from tests.conftest import ROOT


def test_the_installed_lightning_is_one_that_the_private_parts_were_tested_with():
    oldest, newest = (
        Version(each) for each in re.findall(r"lightning (\S+) to (\S+)\.\n", lightning_private.__doc__)[0]
    )
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (bound,) = (Requirement(each) for each in named if Requirement(each).name == "lightning")
    assert str(oldest) in bound.specifier and str(newest) in bound.specifier
    assert f"{newest.major}.{newest.minor + 1}" not in bound.specifier
    installed = Version(lightning.__version__)
    assert oldest <= installed, "lightning_private.py was not tested with it"
    assert (installed.major, installed.minor) == (newest.major, newest.minor), "run the tests and name it there"


def test_private_parts_of_lightning_stand_in_one_file():
    private = re.compile(
        r"trainer\._\w|\.loops\.\w+ import _|strategy\._\w|_logger_connector|_swap_models|_average_model"
    )
    for file in (ROOT / "src" / "deeplab_lit").rglob("*.py"):
        if file.name != "lightning_private.py":
            assert not private.search(file.read_text()), file


def test_private_parts_of_hydra_stand_in_one_file():
    for file in (ROOT / "src").rglob("*.py"):
        if file.name != "hydra_private.py":
            assert "hydra._internal" not in file.read_text() and "_return_value" not in file.read_text(), file


def test_the_average_lies_on_the_device_of_the_network_and_its_counter_on_the_cpu():
    """Lightning copies the network before it moves it, so that the average stayed on the CPU beside a GPU."""
    average, network = lightning_private.MovingAverage(0.9), lightning.LightningModule()
    network.layer = torch.nn.Linear(2, 2)
    average.setup(None, network, "fit")
    network.to("meta")  # as to a GPU
    average.on_fit_start(None, network)
    assert all(each.is_meta for each in average._average_model.module.parameters())
    assert average._average_model.n_averaged.device.type == "cpu"
