"""What Hydra knows of the configs."""

import shutil

import hydra

from deeplab_lit.config import hydra_store, paths


def test_every_config_composes_alone():
    """Each choice of each group, on top of the defaults."""
    from hydra import compose, initialize_config_dir

    from deeplab_lit.config.compose import typed
    from deeplab_lit.config.hydra_store import register_schemas
    from deeplab_lit.config.paths import conf_folder

    register_schemas()
    count = 0
    required = {
        "coco": ["data.root=x"],
        "coco_voc": ["data.root=x"],
        "folder": ["data.root=x", "data.classes=x"],
        "labelme": ["data.root=x", "data.classes=x"],
        "cvat": ["data.root=x"],
        "checkpoint": ["init.path=x"],
        "kazuto": ["init.path=x"],
        "l2g": ["init.path=x"],
        "l2g_coco": ["init.path=x", "data.root=x"],
        "lpcam_coco": ["init.path=x", "data.root=x"],
        "rib_coco": ["data.root=x"],
    }
    with initialize_config_dir(version_base="1.3", config_dir=str(conf_folder())):
        for file in sorted(conf_folder().glob("*/*.yaml")):
            cfg = compose(
                "tune" if file.parent.name == "space" else "train",
                overrides=[
                    "name=x",
                    f"{file.parent.name}={file.stem}",
                    *required.get(file.stem, []),
                ],
            )
            assert typed(cfg).name == "x"
            count += 1
    assert count >= 38


def test_folders_beside_the_configs_are_no_groups(tmp_path, monkeypatch):
    """In a checkout results lie beside conf/ and experiments/, named like the keys that say where they go."""
    for name in ("conf", "experiments"):
        shutil.copytree(paths.conf_folder().parent / name, tmp_path / name)
    for name in ("out", "images", "output", "name"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(paths, "conf_folder", lambda: tmp_path / "conf")
    hydra_store.register_schemas()
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(tmp_path / "conf")):
        cfg = hydra.compose("predict", ["checkpoint=a", "images=b", "out=c"])
        assert (cfg.images, cfg.out) == ("b", "c")
        words = ["output=d", "name=e", "experiments=table3_aspp_vgg16"]
        cfg = hydra.compose("train", words, return_hydra_config=True)
        assert list(cfg.hydra.sweeper.rows) == ["largefov", "aspp_s", "aspp_l"] and cfg.name == "e"
