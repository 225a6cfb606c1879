"""Curated records to training sets: split, mixed, exported."""

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import polars as pl
import pyarrow as pa

from flywheel import plugins
from flywheel.engine import Made, file_exits, write_stage
from flywheel.inspect.canaries import canary_report, check_floors
from flywheel.inspect.synthetic import check_terms
from flywheel.ledger import Outcome, exits, no_exits
from flywheel.plugins import Format
from flywheel.project import Project
from flywheel.records import empty, from_batch
from flywheel.schema import SCHEMA, column
from flywheel.steps.contamination import clean
from flywheel.steps.similar import leaving, passages

TRAINING_SETS = pa.schema(
    [
        column("version", pa.string(), "digest of the exported files: the name of their folder"),
        column("split", pa.string(), "`train`, `validation` or `test`"),
        column("file", pa.string(), "relative to the sets folder"),
        column("rows", pa.int64(), "lines of the file"),
        column("tokens", pa.int64(), "counted by the set's tokenizer, or estimated"),
        column("bytes", pa.int64(), "size of the file"),
        column("sha256", pa.string(), "of the file"),
    ]
)

COSTS = pa.schema(
    [
        column("seeds", pa.int64(), "seed records that were read"),
        column("rows", pa.int64(), "children that the synthesizer made of them"),
        column("dollars", pa.float64(), "what the model's answers cost when they were bought, in this run or an earlier one"),
        column("prompt_tokens", pa.int64(), "of the answers bought in the last run"),
        column("completion_tokens", pa.int64(), "of the answers bought in the last run"),
    ]
)

LABELS = pa.schema(
    [
        column("id", pa.string(), "the record of the row"),
        column("split", pa.string(), "which file it is in"),
        column("label", pa.string(), "`good` or `bad`, where feedback on the reply says"),
        column("score", pa.float64(), "in the scale of the rule that gives it"),
        column("evidence", pa.list_(pa.string()), "`FEEDBACK:RULE` for each feedback on the reply on which a rule spoke"),
        column("origin", pa.string(), "of the pair: where the preference comes from"),
        column("rule", pa.string(), "of the pair: the rule that says which answer is better"),
        column("chosen_characters", pa.int64(), "length of the better answer"),
        column("rejected_characters", pa.int64(), "length of the worse one"),
        column("chosen_first", pa.bool_(), "whether the better answer came first; null where unknown"),
    ]
)


def splits(project: Project, _: str, fingerprint: int) -> Made:
    """Assign every family of records to a split."""
    from flywheel.curate.dedup.prompts import prompt_hashes
    from flywheel.mix.splits import SPLITS, assign_splits

    curated = project.tables.scan("curated").select("id", "day", "parents", "session").collect()
    asked = prompt_hashes(project.tables.scan("signatures"))
    curated = curated.join(asked, on=["id", "day"], how="left", maintain_order="left")
    links = project.tables.read("duplicates").select("id", "kept")
    splits = assign_splits(curated, links, settings=project.settings.splits)
    written = project.tables.write("splits", splits, schema=SPLITS, fingerprint=fingerprint)
    shares = dict(splits.group_by("split").len().sort("split").iter_rows())
    families = {"families": splits["family"].n_unique()}
    return Made("splits", curated.height, written.rows, written.version, extra=shares | families)


def synthetic(project: Project, name: str, fingerprint: int) -> Made:
    """Let one synthesizer make children of the train records."""
    from flywheel.synthesize.driver import synthesize

    entry = next(entry for entry in project.settings.synthesize if entry.name == name)
    made = synthesize(
        (batch for batch, _ in source_rows(project, entry.seeds)),
        plugins.build("synthesizer", entry.use, entry.settings),
        name=name,
        model=project.model,
        concurrency=entry.concurrency,
        limit=entry.limit,
        version=plugins.code_version("synthesizer", entry.use, entry.settings),
    )
    table = f"synthetic/{name}"

    def refused() -> None:
        file_exits(project.tables, table, made.child_exits, fingerprint=fingerprint)

    written = project.tables.write(table, made, schema=SCHEMA, fingerprint=fingerprint, before_commit=refused)
    cost = made.cost
    paid = {"seeds": made.seeds, "rows": written.rows, "dollars": cost.dollars + cost.saved_dollars}
    paid |= {"prompt_tokens": cost.prompt_tokens, "completion_tokens": cost.completion_tokens}
    project.tables.write("synthesis_costs", pl.DataFrame([paid]), schema=COSTS, fingerprint=fingerprint, synthesizer=name)
    reasons = {("dropped", reason): count for reason, count in made.child_exits.group_by("reason").len().iter_rows()}
    seeds = {
        "seeds": made.seeds,
        "seeds_used": made.made,
        "seeds_left": dict(made.seed_exits.group_by("reason").len().iter_rows()),
    }
    return Made(table, made.children, written.rows, written.version, reasons, seeds | dataclasses.asdict(cost))


def verified(project: Project, _: str, fingerprint: int) -> Made:
    """Keep the synthetic records that hold every rule and pass the checks of their entry; nothing else reaches a mixture."""
    from flywheel.steps.diversity import diversity_table
    from flywheel.synthesize.verification import apply_checks, build_checks
    from flywheel.synthesize.verification.contract import Known
    from flywheel.synthesize.verify import verify

    seen: dict[str, str] = {}

    def real() -> Iterator[pl.DataFrame]:
        return project.tables.batches("curated", columns=SCHEMA.names)

    def outcomes() -> Iterator[tuple[int, Outcome]]:
        for entry in project.settings.synthesize:
            judges = [check.judge() for check in build_checks(entry.verify)]
            made = partial(project.tables.batches, f"synthetic/{entry.name}", columns=SCHEMA.names)
            for batch in made():
                parents = batch.select(pl.col("parents").explode().unique().implode()).item()
                seeds = project.tables.scan("curated").filter(pl.col("id").is_in(parents)).select(SCHEMA.names).collect()
                whole = clean(project, verify(batch, seeds, seen=seen))
                known = Known({seed.id: seed for seed in from_batch(seeds)}, real, made)
                passed = apply_checks(whole.kept, judges, known, keep=entry.unverified)
                yield batch.height, Outcome(passed.kept, pl.concat([whole.exits, passed.exits]))

    made = write_stage(project.tables, "verified", outcomes(), fingerprint=fingerprint)
    made.extra["yield"] = _yield(project)
    made.extra["diversity"] = diversity_table(project)
    return made


def _yield(project: Project) -> pl.DataFrame:
    """One row a synthesizer: `made`, `accepted`, `dollars`, `dollars_per_accepted_row` (null where none was accepted)."""
    origin = pl.col("origin").str.strip_prefix("synthetic:").alias("synthesizer")
    accepted = project.tables.scan("verified").group_by(origin).agg(accepted=pl.len()).collect()
    return (
        project.tables.read("synthesis_costs")
        .filter(pl.col("synthesizer").is_in([entry.name for entry in project.settings.synthesize]))
        .join(accepted, on="synthesizer", how="left")
        .with_columns(pl.col("accepted").fill_null(0))
        .with_columns(per_row=pl.when(pl.col("accepted") > 0).then(pl.col("dollars") / pl.col("accepted")))
        .select("synthesizer", pl.col("rows").alias("made"), "accepted", "dollars", dollars_per_accepted_row="per_row")
        .sort("synthesizer")
    )


def source_rows(
    project: Project, source: str, columns: Sequence[str] = tuple(SCHEMA.names)
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """The rows that may be taken from `curated` or `synthetic/NAME`, with their split, and exits of the others.

    `curated` used the duplicates of its time; a later day may have brought an older copy since, so they are applied again.
    Rows that hold text of a benchmark, or that a `[[duplicates]]` rule drops, leave here; what a rule cuts is cut here.
    """
    from flywheel.curate.dedup.similar import cut

    if source != "curated":
        for batch in project.tables.batches("verified", columns=sorted({*columns, "origin"})):
            own = batch.filter(pl.col("origin") == source.replace("/", ":"))
            yield own.select(columns), no_exits()
        return
    splits = project.tables.read("splits").select("id", "day", assigned="split")
    leaving_now = leaving(project)
    cuts = passages(project, leaving_now)
    for batch in project.tables.batches("curated", columns=sorted({*columns, "id", "day"})):
        gone = batch.select("id", "day").join(leaving_now, on=["id", "day"], how="inner", maintain_order="left")
        current = batch.join(gone, on=["id", "day"], how="anti", maintain_order="left")
        if "messages" in columns and cuts.height:
            current = cut(current, cuts)
        joined = current.join(splits, on=["id", "day"], how="left", maintain_order="left").with_columns(split="assigned")
        yield joined.select(columns), exits(gone["id"], gone["reason"], into=gone["into"], score=gone["score"])


def mixture(project: Project, name: str, fingerprint: int) -> Made:
    """Draw one mixture from its sources; rows that repeat another as duplicates are known now stay out."""
    from flywheel.mix.mixture import KEYS, choose

    no_keys = empty().select(KEYS)
    settings = next(mix for mix in project.settings.mix if mix.name == name)
    keys = {source: pl.concat([no_keys, *(batch for batch, _ in source_rows(project, source, KEYS))]) for source in settings.take}
    chosen = choose(keys, settings=settings)
    taken = {source: chosen.kept.filter(pl.col("source") == source).select("id") for source in keys}

    def outcomes() -> Iterator[tuple[int, Outcome]]:
        for source, wanted in taken.items():
            left = wanted
            for batch, repeated in source_rows(project, source):
                kept = batch.join(left, on="id", how="semi", maintain_order="left").unique(
                    "id", keep="first", maintain_order=True
                )
                left = left.join(kept, on="id", how="anti")
                yield batch.height + repeated.height, Outcome(kept, repeated)
        yield 0, Outcome(empty(), chosen.exits)

    made = write_stage(project.tables, f"mixture/{name}", outcomes(), fingerprint=fingerprint)
    made.extra["by_source_and_split"] = chosen.report
    return made


def training_set(project: Project, name: str, fingerprint: int) -> Made:
    """Export one set, and register its files; only when the scrubber finds what `[canaries]` asks for."""
    from flywheel.curate.label_rules import with_rules
    from flywheel.format.export import export
    from flywheel.format.publish import upload
    from flywheel.format.tokens import token_counter

    check_floors(project.settings, project.key)
    chosen = next(chosen for chosen in project.settings.sets if chosen.name == name)
    own = with_rules("format", chosen.format, chosen.settings, project.settings.labels)
    format: Format = plugins.build("format", chosen.format, own)
    mixture = f"mixture/{chosen.mix}"
    check_terms(project.tables, mixture, project.settings.policy)
    version = project.tables.version(mixture)
    exported = export(
        project.tables.batches(mixture),
        format,
        folder=project.sets / name,
        set=chosen,
        token_counter=token_counter(project.settings.root / chosen.tokenizer if chosen.tokenizer else None),
        provenance=_provenance(project, chosen.mix),
    )
    if project.settings.remote:
        upload(project.sets / name, exported.version, f"{project.settings.data.rstrip('/')}/sets/{name}")
    file_exits(project.tables, f"training_set/{name}", exported.exits, fingerprint=fingerprint)
    rows = pl.DataFrame(
        [
            {
                "version": exported.version,
                "split": file.split,
                "file": f"{name}/{exported.version}/{file.name}",
                "rows": file.rows,
            }
            | {"tokens": file.tokens, "bytes": file.bytes, "sha256": file.sha256}
            for file in exported.files
        ],
        schema=["version", "split", "file", "rows", "tokens", "bytes", "sha256"],
    )
    labels = labelled_rows(project, name, format, exported.exits, fingerprint)
    project.tables.write("training_sets", rows, schema=TRAINING_SETS, fingerprint=fingerprint, set=name)
    reasons = dict(exported.exits.group_by("reason").len().sort("reason").iter_rows())
    return Made(
        f"training_set/{name}",
        exported.rows_in,
        sum(file.rows for file in exported.files),
        version,
        {("dropped", reason): count for reason, count in reasons.items()},
        {
            "files": rows.select("split", "rows", "tokens", "bytes", "sha256"),
            "path": str(exported.path),
            "set_version": exported.version,
            **labels,
        },
    )


def labelled_rows(project: Project, name: str, format: Format, refused: pl.DataFrame, fingerprint: int) -> dict[str, Any]:
    """Register what each row of a set was labelled with and why, and measure the bias of its pairs; for formats with labels."""
    from flywheel.format.pairs import Labelling
    from flywheel.inspect.bias import pair_bias, pair_facts

    if not isinstance(format, Labelling):
        return {}
    mix = next(chosen.mix for chosen in project.settings.sets if chosen.name == name)
    table = pl.DataFrame(schema=pl.Schema(LABELS))

    def rows() -> Iterator[pl.DataFrame]:
        nonlocal table
        for batch in project.tables.batches(f"mixture/{mix}"):
            found = []
            for record in from_batch(batch.join(refused, on="id", how="anti", maintain_order="left")):
                labels, pair = format.labelled(record)
                evidence = [f"{one.feedback}:{one.rule}" for one in labels.evidence]
                facts = pair_facts(pair) if pair else {}
                own = {"id": record.id, "split": record.split, "label": labels.label, "score": labels.score}
                found.append(own | {"evidence": evidence} | facts)
            made = pl.DataFrame(found, schema=pl.Schema(LABELS))
            table = table.vstack(made.with_columns(evidence=pl.lit([], pl.List(pl.String))))
            yield made

    project.tables.write("labels", rows(), schema=LABELS, fingerprint=fingerprint, set=name)
    counts = dict(table.group_by("label").len().drop_nulls().sort("label").iter_rows())
    paired = table.filter(pl.col("origin").is_not_null())
    return {"labels": counts} | ({"pair_bias": pair_bias(paired)} if paired.height else {})


def _anonymity(project: Project, mix: str) -> list[dict[str, Any]]:
    from flywheel.inspect.anonymity import anonymity, columns

    settings = project.settings.anonymity
    return anonymity(project.tables.batches(f"mixture/{mix}", columns=columns(settings)), settings=settings).to_dicts()


def _provenance(project: Project, mix: str) -> dict[str, Any]:
    """What the card and the manifest say of a set's making: the funnel so far, how personal data was looked for, versions."""
    from flywheel.inspect.ledger import flows

    settings = project.settings
    stages = [flow for flow in flows(project.tables, settings) if "/" not in flow.stage or flow.stage == f"mixture/{mix}"]
    funnel = [
        {
            "stage": flow.stage,
            "rows_in": flow.rows_in,
            "kept": flow.kept,
            "dropped": dict(flow.exits.group_by("reason").len().sort("reason").iter_rows()),
        }
        for flow in stages
    ]
    report = canary_report(settings, project.key)
    return {
        "funnel": funnel,
        "anonymity": {"k": settings.anonymity.k, "classes": _anonymity(project, mix)},
        "scrub": {"names": settings.scrub.ner, "canaries": report.to_dicts()},
        "plugins": {plugged.name: plugins.code_version("filter", plugged.use, plugged.settings) for plugged in settings.filters},
    }
