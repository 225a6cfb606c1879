"""What curated and synthetic records hold of the `[[benchmarks]]`, and who leaves for it."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import polars as pl

from flywheel import plugins
from flywheel.engine import Made
from flywheel.errors import ConfigError
from flywheel.ledger import Outcome, exits
from flywheel.plugins import Embeds
from flywheel.progress import advance
from flywheel.project import Project
from flywheel.sections import Benchmark

if TYPE_CHECKING:
    from flywheel.curate.decontaminate import Index


def contamination(project: Project, _: str, day: str, fingerprint: int) -> Made:
    """Look for the benchmarks' texts in one day's curated records; every record stays, the sets leave some out."""
    from flywheel.curate.decontaminate import CONTAMINATION, find_contamination, select_contaminated

    tables, known = project.tables, indexes(project)
    found = [pl.DataFrame(schema=pl.Schema(CONTAMINATION))]
    rows = 0
    for batch in tables.batches("curated", day=day):
        found.append(find_contamination(batch, known))
        rows += batch.height
        advance("contamination", rows, day=day)
    pairs = pl.concat(found)
    written = tables.write("contamination", pairs, schema=CONTAMINATION, fingerprint=fingerprint, day=day)
    going = select_contaminated(pairs, project.settings.benchmarks)
    extra = dict(going.group_by("reason").len().sort("reason").iter_rows())
    return Made("contamination", rows, written.rows, written.version, extra=extra | {"benchmark_rows": benchmark_rows(pairs)})


def benchmark_rows(pairs: pl.DataFrame) -> dict[str, int]:
    """How many rows of each evaluation set some record holds, by its name."""
    return dict(pairs.group_by("benchmark").agg(pl.col("row").n_unique()).sort("benchmark").iter_rows())


def indexes(project: Project) -> "Mapping[str, Index]":
    """What each benchmark is looked for by; read anew when its files or settings change."""
    from flywheel.curate.benchmarks import digest_of

    root = project.settings.root
    return {
        each.name: _index(msgspec.json.encode(each), root, digest_of(each, root), project.model if each.semantic else None)
        for each in project.settings.benchmarks
    }


@functools.lru_cache(maxsize=32)
def _index(encoded: bytes, root: Path, _digest: str, model: object) -> "Index":
    from flywheel.curate.benchmarks import read_benchmark
    from flywheel.curate.decontaminate import Index

    benchmark = msgspec.json.decode(encoded, type=Benchmark)
    texts = read_benchmark(benchmark, root)
    index = Index(texts, ngrams=benchmark.ngrams, template=benchmark.template)
    if benchmark.semantic is None:
        return index
    method = plugins.similarity(benchmark.method, benchmark.settings, model=model)
    if not isinstance(method, Embeds):
        raise ConfigError(f"[[benchmarks]] {benchmark.name}: the similarity {benchmark.method!r} has no vectors; tf_idf has.")
    return index.meaning(texts, method)


def contaminated(project: Project) -> pl.DataFrame:
    """The curated records that leave before the sets, by today's thresholds: `id`, `day`, `reason`, `score`."""
    from flywheel.curate.decontaminate import select_contaminated

    if not project.settings.benchmarks:
        return pl.DataFrame(schema={"id": pl.String, "day": pl.String, "reason": pl.String, "score": pl.Float64})
    return select_contaminated(project.tables.read("contamination"), project.settings.benchmarks)


def clean(project: Project, outcome: Outcome) -> Outcome:
    """The outcome with the kept records that hold a benchmark's text among the exits."""
    from flywheel.curate.decontaminate import find_contamination, select_contaminated

    if not project.settings.benchmarks:
        return outcome
    going = select_contaminated(find_contamination(outcome.kept, indexes(project)), project.settings.benchmarks)
    left = exits(going["id"], going["reason"], score=going["score"])
    return Outcome(outcome.kept.join(going, on="id", how="anti", maintain_order="left"), outcome.exits.vstack(left))


def contamination_facts(project: Project, mixture: str) -> dict[str, float]:
    """`contaminated`: rows of a mixture that hold a benchmark's text, looked for anew in what is there to be exported."""
    from flywheel.curate.decontaminate import find_contamination, select_contaminated

    known = indexes(project)
    batches = project.tables.batches(mixture, columns=["id", "messages", "candidates"])
    found = (select_contaminated(find_contamination(batch, known), project.settings.benchmarks).height for batch in batches)
    return {"contaminated": float(sum(found))}
