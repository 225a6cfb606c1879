"""How much of a mixture is made by models, how many times over, and whether the models' terms allow to train on it."""

import polars as pl

from flywheel.errors import FlywheelError
from flywheel.sections import Mix, Policy
from flywheel.synthesize.model_settings import Terms
from flywheel.tables import Tables


def synthetic_facts(tables: Tables, mixture: str, policy: Policy) -> dict[str, float]:
    """Facts of a mixture.

    Returns:
        `synthetic_share`: rows of generation 1 or more among all, 0 to 1; `generation`: the deepest; `terms_refused`: rows that
        a model has a part in whose terms do not allow training on them, and are not accepted in the policy.
    """
    row = (
        tables.scan(mixture)
        .select(
            synthetic_share=(pl.col("generation") > 0).mean().fill_null(0.0),
            generation=pl.col("generation").max().fill_null(0),
            terms_refused=_refused(policy).sum(),
        )
        .collect()
        .row(0, named=True)
    )
    return {name: float(value) for name, value in row.items()}


def _refused(policy: Policy) -> pl.Expr:
    tags = [f"terms={terms.value}" for terms in Terms if terms is not Terms.ALLOWED and terms.value not in policy.model_terms]
    return pl.col("tags").list.eval(pl.element().is_in(tags)).list.any().fill_null(value=False)


def check_terms(tables: Tables, mixture: str, policy: Policy) -> None:
    """Refuse a mixture whose rows may not be trained on.

    Raises:
        FlywheelError: with the models, their terms, and what to write down if training is allowed after all.
    """
    refused = tables.scan(mixture).filter(_refused(policy)).select("tags").collect()
    if refused.is_empty():
        return
    tags = refused["tags"].explode().drop_nulls().unique().sort().to_list()
    models = ", ".join(tag.removeprefix("asked=").partition("(")[0] for tag in tags if tag.startswith("asked="))
    terms = [tag.removeprefix("terms=") for tag in tags if tag.startswith("terms=") and tag != "terms=allowed"]
    accepting = ", ".join(f'"{each}"' for each in terms)
    raise FlywheelError(
        f"{refused.height} rows of {mixture} were made with {models}, whose terms about training on answers are: "
        f"{', '.join(terms)}.\nRead the terms of each model and state them as `outputs_may_train` of its section: true, false or "
        f'"non-competing". If you may train this set under them all the same, say `model_terms = [{accepting}]` in [policy]; '
        f"else leave the source out of the mixture."
    )


def cap_bounds(mix: Mix) -> dict[str, float]:
    """The greatest allowed value of each of `synthetic_facts` that the configuration bounds."""
    caps = {"synthetic_share": mix.max_synthetic_share, "generation": mix.max_generation, "terms_refused": 0}
    return {fact: float(cap) for fact, cap in caps.items() if cap is not None}
