"""The models of a project: that of `[model]`, and one for each `[models.ROLE]`."""

from collections.abc import Mapping

from flywheel.synthesize.cache import Answers
from flywheel.synthesize.cost import Purse
from flywheel.synthesize.model import GENERATOR, OpenAIModel
from flywheel.synthesize.model_settings import ModelSettings
from flywheel.synthesize.spending import Spending


def connect(
    settings: ModelSettings,
    roles: Mapping[str, ModelSettings],
    *,
    answers: Answers,
    backoff: float = 0.5,
    longest_wait: float = 30.0,
) -> OpenAIModel:
    """The generator, from which the others are reached by `role`. They share its cache and its budget.

    Raises:
        ConfigError: an environment variable with a key is not set.
    """
    purse = Purse(settings.budget_dollars, Spending(answers))
    models = {
        role: OpenAIModel(own, answers=answers, role=role, purse=purse, backoff=backoff, longest_wait=longest_wait)
        for role, own in {GENERATOR: settings, **roles}.items()
    }
    for model in models.values():
        model.roles = models
    return models[GENERATOR]
