"""Recipes: what other parts of a config read of a component."""

import pytest
import yaml

from deeplab_lit.config.paths import conf_folder
from deeplab_lit.config.recipes import RECIPES, BackboneRecipe, DataRecipe, recipe, without_recipe
from deeplab_lit.utils.errors import UserError


@pytest.mark.parametrize("group", RECIPES)
def test_every_recipe_of_a_choice_is_one(group):
    for file in (conf_folder() / group).glob("*.yaml"):
        recipe(yaml.safe_load(file.read_text()), RECIPES[group])


def test_a_component_without_a_recipe_has_the_defaults():
    assert recipe({"_target_": "mine.Trunk"}, BackboneRecipe) == BackboneRecipe() and BackboneRecipe().offers == [
        "direct"
    ]
    assert without_recipe({"_target_": "mine.Data", "recipe": {"crop_size": 5}}) == {"_target_": "mine.Data"}


def test_a_key_that_no_recipe_knows_is_refused():
    with pytest.raises(UserError, match=r"data\.recipe\.cropsize is not known: .*Did you mean 'crop_size'"):
        recipe({"recipe": {"cropsize": 5}}, DataRecipe)
