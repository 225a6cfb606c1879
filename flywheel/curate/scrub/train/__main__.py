"""`python -m flywheel.curate.scrub.train DATA`: train the small model, print its figures, write it into the package."""

import hashlib
import random
import time
from pathlib import Path

import click

from flywheel.curate.scrub.ner_small import CHECKSUM, FILE, pack, unpack
from flywheel.curate.scrub.train import corpora, learn

_PACKAGE = Path(__file__).parent.parent / "model"


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=_PACKAGE, help="Folder for the model's two files."
)
@click.option("--epochs", default=8, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(data: Path, out: Path, epochs: int, seed: int) -> None:
    """Train on DATA, a folder with `pii/wnut17`, `pii/btc` and, if there, `banking77`, `taskmaster` and `arena_hard`."""
    begun = time.process_time()
    sentences = corpora.annotated(data / "pii")
    plain = corpora.ordinary(data, random.Random(seed), count=3000)
    click.echo(f"{len(sentences)} annotated sentences, {len(plain)} ordinary texts")
    packed = pack(learn.train(sentences, plain, epochs=epochs, seed=seed))
    click.echo(f"trained in {time.process_time() - begun:.0f} CPU seconds; {len(packed):,} bytes")
    for label, score in learn.scores(unpack(packed), corpora.held_out(data / "pii")).items():
        click.echo(f"  {label:<13} precision {score.precision:.3f}  recall {score.recall:.3f}  F1 {score.f1:.3f}")
    out.mkdir(parents=True, exist_ok=True)
    (out / FILE).write_bytes(packed)
    (out / CHECKSUM).write_text(f"{hashlib.sha256(packed).hexdigest()}  {FILE}\n", "ascii")


if __name__ == "__main__":
    main()
