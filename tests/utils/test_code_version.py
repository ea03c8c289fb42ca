"""The version that a result names, in clones and outside of them."""

import subprocess

import pytest

import deeplab_lit
from deeplab_lit.utils.code_version import code_version


def git(folder, *words):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    return subprocess.run(["git", "-C", folder, *identity, *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The package's file in a new folder in the place of the installed one."""
    file = tmp_path / "src" / "deeplab_lit" / "__init__.py"
    file.parent.mkdir(parents=True)
    file.write_text("a = 1\n")
    monkeypatch.setattr(deeplab_lit, "__file__", str(file))
    return file


def test_a_clone_has_its_commit_and_says_whether_files_differ_from_it(package, tmp_path):
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    git(tmp_path, "tag", "v9")
    commit = git(tmp_path, "rev-parse", "HEAD")[:7]
    assert code_version() == f"{deeplab_lit.__version__}, commit {commit}"
    (tmp_path / "new.txt").write_text("untracked")
    assert code_version() == f"{deeplab_lit.__version__}, commit {commit}"
    package.write_text("a = 2\n")
    assert code_version() == f"{deeplab_lit.__version__}, commit {commit} and changes"


def test_an_installed_package_has_its_version_alone(package, tmp_path, monkeypatch):
    assert code_version() == deeplab_lit.__version__
    git(tmp_path.parent, "init", "-q")  # the repository of something else, around it
    assert code_version() == deeplab_lit.__version__
    git(tmp_path, "init", "-q")  # without a commit
    assert code_version() == deeplab_lit.__version__
    monkeypatch.setenv("PATH", "")  # without git
    assert code_version() == deeplab_lit.__version__
