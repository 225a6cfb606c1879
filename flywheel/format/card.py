"""The dataset card of an exported set: what is in it, where it comes from, what was not checked."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_HUB_LICENSES = re.compile(
    "apache-2.0|mit|bsd-[23]-clause|cc0-1.0|cc-by(-nc)?(-nd|-sa)?-([23]\\.0|2\\.5|4\\.0)|cdla-sharing-1.0|cdla-permissive-[12].0"
    "|odc-by|odbl|pddl|a?gpl-3.0|gpl-2.0|lgpl-2.1|lgpl-3.0|mpl-2.0|unlicense|isc|wtfpl|zlib|openrail"
)
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))
_LARGER = ((100_000_000, "10M<n<100M"), (1_000_000_000, "100M<n<1B"))
_SETTINGS = re.compile(r"^(Args|Source):", re.MULTILINE)
_LOADERS = {"jsonl": "json", "parquet": "parquet"}


def card(manifest: Mapping[str, Any], *, features: Sequence[Mapping[str, Any]] | None = None, fields: str | None = None) -> str:
    """The `README.md` of a set: YAML that the Hugging Face Hub and `datasets` read, then Markdown for people.

    Args:
        manifest: as `export` writes it.
        features: the columns' types, where the format states them.
        fields: what the format says of its rows: its docstring, up to the settings.

    Source: huggingface/hub-docs datasetcard.md (metadata), docs/hub/datasets-manual-configuration.
    """
    parts = [front_matter(manifest, features), f"# {manifest['set']}\n", _summary(manifest), _files(manifest), _funnel(manifest)]
    if fields:
        parts.append(f"## Fields\n\n{re.split(_SETTINGS, fields)[0].strip()}\n")
    parts += [_loading(manifest), _origins(manifest), _personal(manifest), _anonymity(manifest), _LIMITS]
    return "\n".join(parts)


def front_matter(manifest: Mapping[str, Any], features: Sequence[Mapping[str, Any]] | None = None) -> str:
    """The YAML block. Scalars are written as JSON, which YAML contains, so no name can break it."""
    rows = sum(file["rows"] for file in manifest["files"])
    tags = ["flywheel", manifest["format"]["name"]]
    if any(origin.startswith("synthetic") for origin in manifest["origins"]):
        tags.append("synthetic")
    meta: dict[str, Any] = {"pretty_name": manifest["set"], "license": _license(manifest["licenses"])}
    meta |= {"task_categories": ["text-generation"], "size_categories": [size_category(rows)], "tags": tags}
    if manifest["files"]:
        files = [{"split": file["split"], "path": file["name"]} for file in manifest["files"]]
        meta["configs"] = [{"config_name": "default", "data_files": files}]
        if features is not None:
            meta["dataset_info"] = {"config_name": "default", "features": features}
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in meta.items()]
    return "\n".join(["---", *lines, "---\n"])


def _license(counts: Mapping[str, int]) -> str | list[str]:
    """Identifiers that the Hub knows; `other` for a licence that it does not, `unknown` where a row states none."""
    found = {"unknown" if name == "not stated" else name.lower() for name in counts}
    known = sorted({name if _HUB_LICENSES.fullmatch(name) or name == "unknown" else "other" for name in found}) or ["unknown"]
    return known[0] if len(known) == 1 else known


def size_category(rows: int) -> str:
    """The Hub's label for a number of rows."""
    return next((label for limit, label in (*_SIZES, *_LARGER) if rows < limit), "n>1T" if rows >= 10**12 else "1B<n<10B")


def _table(heads: Sequence[str], rows: Iterator[Sequence[object]]) -> str:
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [list(heads), ["---"] * len(heads), *cells]) + "\n"


def _summary(manifest: Mapping[str, Any]) -> str:
    settings = ", ".join(f"`{key}` = `{json.dumps(value)}`" for key, value in manifest["format"]["settings"].items())
    return (
        f"Version `{manifest['version']}`, format `{manifest['format']['name']}`"
        f"{f' ({settings})' if settings else ''}, made by Flywheel {manifest['versions']['flywheel']} from the mixture "
        f"`{manifest['mix']}`. `manifest.json` has checksums and versions; `lineage.parquet` names, for every line, the record "
        "and the place in the original log. Keep that file to yourself where file names are confidential.\n"
    )


def _files(manifest: Mapping[str, Any]) -> str:
    rows = ((f["split"], f"`{f['name']}`", f["rows"], f["bytes"], f["tokens"], f["longest"]) for f in manifest["files"])
    table = _table(("split", "file", "rows", "bytes", "tokens", "longest row in tokens"), rows)
    counted = f"Tokens: {manifest['tokens']['counted_by']}; the chat template's own tokens are not counted.\n"
    return f"## Files\n\n{table}\n{counted}"


def _funnel(manifest: Mapping[str, Any]) -> str:
    """Rows in, kept and dropped at each stage; the format's own refusals last."""
    rejected: Mapping[str, int] = manifest["rejected"]
    kept = sum(file["rows"] for file in manifest["files"])
    last = {"stage": f"format `{manifest['format']['name']}`", "rows_in": kept + sum(rejected.values()), "kept": kept}
    stages = [*manifest["provenance"].get("funnel", []), last | {"dropped": rejected}]
    rows = (
        (s["stage"], s["rows_in"], s["kept"], ", ".join(f"{reason} {n}" for reason, n in s.get("dropped", {}).items()) or "none")
        for s in stages
    )
    return "## From logs to rows\n\n" + _table(("stage", "rows in", "kept", "dropped or merged, by reason"), rows)


def _loading(manifest: Mapping[str, Any]) -> str:
    suffix = manifest["files"][0]["name"].rsplit(".", 1)[-1] if manifest["files"] else "jsonl"
    files = ", ".join(f'"{file["split"]}": "{file["name"]}"' for file in manifest["files"])
    loader = _LOADERS.get(suffix, suffix)
    return (
        "## Loading\n\n```python\nfrom datasets import load_dataset\n\n"
        'sets = load_dataset("path/to/this/folder")  # column types come from this card\n'
        f'sets = load_dataset("{loader}", data_files={{{files}}})  # column types are guessed from the first 10 MB\n```\n'
    )


def _origins(manifest: Mapping[str, Any]) -> str:
    origins = _table(("origin", "rows"), iter(manifest["origins"].items()))
    licenses = _table(("licence", "rows"), iter(manifest["licenses"].items()))
    return f"## Origins and licences\n\n{origins}\n{licenses}\nA row may be bound by several licences.\n"


def _personal(manifest: Mapping[str, Any]) -> str:
    how = manifest["provenance"].get("scrub")
    if how is None:
        done = "How personal data was looked for was not recorded for this set: assume that it was not."
    elif isinstance(how, str):
        done = f"Values recognised as personal data or secrets were replaced before export: {how}."
    else:
        done = (
            "Values recognised as personal data or secrets were replaced before export; names were found by "
            f"`{how['names']}`.\n\nInvented conversations with known values went through the same scrubber in the same run. "
            "They are few, and easier than real ones. Recall: the share of the planted values that are gone, and the least with "
            "which this set is built. Precision: the share of the masked places that held such a value. `ALL`: all together.\n\n"
            f"{_recall_table(how['canaries'])}\n"
        )
    return (
        f"## Personal data\n\n{done} Detection misses some: names, indirect hints and rare formats above all. These rows remain "
        "personal data in law wherever somebody could still be recognised; treat and share them accordingly.\n"
    )


def _recall_table(canaries: Sequence[Mapping[str, Any]]) -> str:
    """One row a kind of value: planted, gone, share gone, the least that was asked for, and what was masked beside."""
    shares = ("recall", "floor", "precision", "over_masking")
    rows = ((row["entity"], row["planted"], row["found"], *(_share(row[name]) for name in shares)) for row in canaries)
    heads = ("planted", "values", "gone", "recall", "at least", "precision", "other words masked")
    return _table(heads, rows)


def _anonymity(manifest: Mapping[str, Any]) -> str:
    """Classes of rows that agree in their quasi-identifiers, and what that does not prove; nothing where it was not measured."""
    found = manifest["provenance"].get("anonymity")
    if not found:
        return ""
    below = [f"rows in classes under {found['k']} {counted}" for counted in ("rows", "people")]
    heads = ("quasi-identifiers", "classes", "smallest, rows", below[0], "smallest, people", below[1])
    names = ("quasi_identifiers", "classes", "smallest_k", "rows_below_k", "smallest_users", "rows_below_k_users")
    table = _table(heads, ([row[name] for name in names] for row in found["classes"]))
    return (
        f"## Quasi-identifiers\n\n{table}\nCounted over the mixture's columns before export. What the texts themselves tell is "
        "not measured, and a class of any size says nothing of somebody whose story is known.\n"
    )


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


_LIMITS = """## Limits

- Rows are what the logged application was asked and answered; they represent its users and its model, errors included.
- Whether an answer is true was not checked, unless a stage above says so.
- Splits keep related rows (same ancestry, session or near-duplicate text) together; relations nobody recorded can still cross.
"""
