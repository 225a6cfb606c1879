"""The graph, as Dagster loads it."""

import os

import dagster as dg

from assets import automation, curate, format, ingest, inspect, mix, synthesize

EXECUTORS = {"in_process": dg.in_process_executor, "multiprocess": dg.multiprocess_executor}

defs = dg.Definitions(
    assets=[
        ingest.log_files,
        ingest.records,
        ingest.conversations,
        curate.cleaned,
        curate.scrubbed,
        curate.signatures,
        curate.duplicates,
        curate.verdicts,
        curate.curated,
        *curate.when_configured,
        *curate.similar,
        synthesize.splits,
        *synthesize.synthetic,
        *mix.mixtures,
        *format.training_sets,
        inspect.ledger,
        inspect.profile,
        inspect.coverage,
        inspect.agreement,
        inspect.anonymity,
    ],
    asset_checks=[check for stage in (ingest, curate, synthesize, mix, format, inspect) for check in stage.checks],
    jobs=[automation.everything, automation.day, automation.sets],
    schedules=[automation.every_night, automation.sets_every_night],
    sensors=[automation.new_log_files],
    executor=EXECUTORS[os.environ.get("FLYWHEEL_EXECUTOR", "in_process")],
)
