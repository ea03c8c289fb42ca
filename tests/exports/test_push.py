"""Networks shared through the Hugging Face Hub: a folder, and a server that answers as the Hub does."""

import http.server
import json
import shutil
import threading
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard, RepoCard

import deeplab_lit
from deeplab_lit.utils.errors import UserError
from tests.conftest import ROOT
from tests.end_to_end.running import use
from tests.inference.test_trained import save

RESULT = {
    "miou": 0.625,
    "per_class_iou": {"sky": 0.75, "road": None},
    "pixel_accuracy": 0.875,
    "mean_accuracy": 0.5,
    "crf": {"miou": 0.65},
    "checkpoint": "elsewhere/checkpoints/best.ckpt",
}


@pytest.fixture
def run(tmp_path):
    """A run directory with a checkpoint that knows where its data lay."""
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    network = save(run / "checkpoints" / "best.ckpt")
    content = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    content["deeplab_lit"]["data"] = {"_target_": "deeplab_lit.data.voc.VOC", "root": "/home/somebody/secret"}
    torch.save(content, run / "checkpoints" / "best.ckpt")
    shutil.copy(run / "checkpoints" / "best.ckpt", run / "checkpoints" / "last.ckpt")
    (run / "result.json").write_text(json.dumps(RESULT))
    (run / "config.yaml").write_text("batch_size: 3\ncrop_size: 97\nseed: 5\noptimizer: {name: sgd, lr: 0.5}\n")
    (run / "pictures").mkdir()
    (run / "pictures" / "validation.png").write_bytes(b"a picture")
    return run, network


def push(run, *words, expect=0):
    return use("push", run, "checkpoint=checkpoints/best.ckpt repo=me/net", *words, expect=expect)


def test_a_folder_holds_what_loads_and_a_card_of_the_run(run):
    run, network = run
    push(run, "folder=out license=cc-by-4.0")
    out = run / "out"
    trained = deeplab_lit.load(out)
    image = torch.randn(1, 3, 65, 70)
    with torch.no_grad():
        assert torch.equal(trained.network.scores(image), network.scores(image))
    card = ModelCard.load(out / "README.md")
    assert card.data.license == "cc-by-4.0" and card.data.library_name == "deeplab_lit"
    metrics = {each.metric_type: (each.metric_value, each.dataset_name) for each in card.data.eval_results}
    assert metrics == {"mean_iou": (0.625, "VOC"), "accuracy": (0.875, "VOC")}
    for said in (
        'deeplab_lit.load("hf://me/net")', "mIoU 0.6250", "With the dense CRF: mIoU 0.6500", "| road | - |",
        "batch_size: 3", "optimizer: name sgd, lr 0.5", "classes: sky, road", "BGR minus 1, 2, 3 over 4, 5, 6",
    ):  # fmt: skip
        assert said in card.text, said
    assert (out / "validation.png").read_bytes() == b"a picture"
    assert not [file for file in out.iterdir() if b"secret" in file.read_bytes()]


def test_scores_of_another_checkpoint_are_not_claimed(run):
    run, _ = run
    use("push", run, "checkpoint=checkpoints/last.ckpt repo=me/net folder=out")
    card = RepoCard.load(run / "out" / "README.md")
    assert "None are known for this file" in card.text and "0.625" not in card.content
    assert card.data.license == "unknown" and not (run / "out" / "validation.png").exists()


def test_what_is_pushed_is_the_folder(run, monkeypatch, tmp_path):
    run, _ = run
    calls = []

    def upload_folder(repo_id, folder_path, commit_message):
        calls.append((repo_id, commit_message))
        shutil.copytree(folder_path, tmp_path / "remote")
        return "https://hub/commit/1"

    monkeypatch.setattr(huggingface_hub, "create_repo", lambda name, private, exist_ok: calls.append((name, private)))
    monkeypatch.setattr(huggingface_hub, "upload_folder", upload_folder)
    done = push(run, "private=true message=first")
    assert calls == [("me/net", True), ("me/net", "first")] and "https://hub/commit/1" in done.stdout
    push(run, "folder=out")
    names = {"README.md", "config.json", "model.safetensors", "validation.png"}
    assert {file.name for file in (tmp_path / "remote").iterdir()} == names
    for name in names - {"model.safetensors"}:
        assert (tmp_path / "remote" / name).read_bytes() == (run / "out" / name).read_bytes()
    assert deeplab_lit.load(tmp_path / "remote").step == 7


def test_mistakes_are_named(run, monkeypatch):
    run, _ = run
    assert "type repo=USER/NAME" in use("push", run, "checkpoint=checkpoints/best.ckpt repo=a/b/c", expect=1).stderr

    def refuse(*_, **__):
        raise huggingface_hub.errors.LocalTokenNotFoundError("Token is required")

    monkeypatch.setattr(huggingface_hub, "create_repo", refuse)
    said = push(run, expect=1).stderr
    assert "me/net was not pushed (Token is required)" in said and "folder=DIR" in said
    with pytest.raises(UserError, match="hf://USER/NAME"):
        deeplab_lit.load("hf://me")


class _Hub(http.server.BaseHTTPRequestHandler):
    """Answers for files of one repository as the Hub's resolver does."""

    folder: Path

    def do_HEAD(self):
        self._answer(False)

    def do_GET(self):
        self._answer(True)

    def _answer(self, with_body):
        name = self.path.rsplit("/", 1)[-1]
        file = self.folder / name
        known = self.path == f"/me/net/resolve/main/{name}" and file.is_file()
        data = file.read_bytes() if known else b""
        self.send_response(200 if known else 404)
        self.send_header("ETag", f'"{len(data)}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(len(data)))
        if not known:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.end_headers()
        if with_body:
            self.wfile.write(data)

    def log_message(self, *_):
        pass


def test_load_fetches_from_the_hub(run, monkeypatch, tmp_path):
    run, network = run
    push(run, "folder=out")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Hub", (_Hub,), {"folder": run / "out"}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    constants = huggingface_hub.constants
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    try:
        trained = deeplab_lit.load("hf://me/net")
        with pytest.raises(UserError, match="hf://me/net/none.onnx could not be fetched"):
            deeplab_lit.load("hf://me/net/none.onnx")
    finally:
        server.shutdown()
    image = torch.randn(1, 3, 65, 70)
    with torch.no_grad():
        assert torch.equal(trained.network.scores(image), network.scores(image))


def test_torch_hub_loads_from_the_repository(run):
    run, _ = run
    trained = torch.hub.load(str(ROOT), "deeplab", str(run / "checkpoints" / "best.ckpt"), source="local")
    image = np.zeros((40, 50, 3), np.uint8)
    assert trained.predict(image).shape == (40, 50) and trained.labels.names == ("sky", "road")
