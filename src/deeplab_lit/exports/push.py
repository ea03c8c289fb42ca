"""Push of a checkpoint to the Hugging Face Hub, or into a folder with the same files."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from deeplab_lit.config.command_schemas import PushConfig
from deeplab_lit.exports.model_card import Evidence, card
from deeplab_lit.inference.trained import Trained, load
from deeplab_lit.training.result import Result
from deeplab_lit.training.runs import Run, read_config
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.fetch import HUB_FILE, weights_file
from deeplab_lit.utils.files import write_json, write_text
from deeplab_lit.weights.description import CHECKPOINT_KEY, for_others
from deeplab_lit.weights.onnx_graph import OnnxNetwork
from deeplab_lit.weights.write import save


def push(config: PushConfig) -> str:
    """Share a trained network: its weights as safetensors, its card, and the panel of its run.

    The config of its training data is left out, since it holds paths.

    Returns:
        The folder, or the address of the commit.

    Raises:
        UserError: the checkpoint is wrong, the name is not valid on the Hub, huggingface_hub is missing, or the Hub
            refuses.
    """
    try:
        import huggingface_hub as hf
        from huggingface_hub.errors import HFValidationError
        from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]
    except ImportError as error:
        raise UserError(f"push needs huggingface_hub ({error.name}): pip install 'deeplab_lit[hub]'.") from error
    try:
        validate_repo_id(config.repo)
    except HFValidationError as error:
        raise UserError(f"repo={config.repo} is not a name on the Hub ({error}): type repo=USER/NAME.") from error
    source = weights_file(config.checkpoint)
    trained = load(source, config.allow)
    if isinstance(trained.network, OnnxNetwork):
        raise UserError(f"checkpoint={config.checkpoint} is an ONNX graph: push what it was exported from.")
    if config.folder is not None:
        folder = Path(config.folder).expanduser()
        _fill(folder, config, source, trained)
        print(f'{folder}: ready; deeplab_lit.load("{folder}") reads it')
        return str(folder)
    with tempfile.TemporaryDirectory() as name:
        _fill(Path(name), config, source, trained)
        try:
            hf.create_repo(config.repo, private=config.private, exist_ok=True)
            commit = hf.upload_folder(repo_id=config.repo, folder_path=name, commit_message=config.message)
        except (OSError, ValueError) as error:  # all errors of the Hub are of these types
            raise UserError(
                f"{config.repo} was not pushed ({str(error).splitlines()[0]}): log in with `hf auth login` or "
                "HF_TOKEN, or write it to a folder with folder=DIR."
            ) from error
    print(f'{commit}\ndeeplab_lit.load("hf://{config.repo}") reads it')
    return str(commit)


def _fill(folder: Path, config: PushConfig, source: Path, trained: Trained) -> None:
    about = for_others(trained.description)
    state = {f"network.{name}": value for name, value in trained.network.state_dict().items()}
    save({CHECKPOINT_KEY: about, "state_dict": state, "global_step": trained.step}, folder / HUB_FILE)
    write_json(folder / "config.json", about)
    run = source.resolve().parent.parent
    evidence = _evidence(source, run)
    if evidence.has_picture:
        shutil.copyfile(run / "pictures" / "validation.png", folder / "validation.png")
    write_text(folder / "README.md", card(config.repo, trained, evidence, config.license, config.dataset))


def _evidence(checkpoint: Path, run: Path) -> Evidence:
    """What the run directory says of a checkpoint; scores of another checkpoint are left out."""
    result = Result.read(run / "result.json") if (run / "result.json").is_file() else None
    if result is not None and Path(result.checkpoint or "").name != checkpoint.name:
        result = None
    config = read_config(Run(run)) if (run / "config.yaml").is_file() else {}
    return Evidence(result, config, result is not None and (run / "pictures" / "validation.png").is_file())
