"""``dadsp pack``: a run's model as one file to hand on."""

import json
from pathlib import Path

from omegaconf import DictConfig
from pydantic import Field
from pydantic.dataclasses import dataclass

from dadsp.cli.places import open_run
from dadsp.configuration.compose import plain
from dadsp.errors import ConfigError
from dadsp.options import STRICT, validated
from dadsp.runs.packed import LICENCE, USE, pack


@dataclass(frozen=True, config=STRICT)
class PackOptions:
    """Keys of ``conf/pack.yaml``."""

    run: str = Field(min_length=1)
    out: str = Field(min_length=1)
    expression: bool = True
    licence: str | None = None
    use: str | None = None


def work(config: DictConfig, as_json: bool) -> None:
    """Packs as the configuration says."""
    options = validated(PackOptions, plain(config), "")
    out = Path(options.out)
    if out.suffix != ".dadsp" or out.is_dir():
        raise ConfigError(f"out={out} must name a file that ends in .dadsp. Rename it.")
    run = open_run(Path(options.run))
    card = pack(run, out, expression=options.expression, licence=options.licence or LICENCE, use=options.use or USE)
    size = out.stat().st_size
    if as_json:
        print(json.dumps({"out": str(out), "bytes": size, "card": card}, allow_nan=False))
        return
    data = card["data"]
    print(
        f"{card['system']}: {data['source']['name']} → {data['target']['name']}, {len(card['genes']):,} genes, "
        f"{'with' if data['holds_expression'] else 'without'} the lines' expression, no labels\n"
        f"{size / 1e6:.1f} MB in {out}. It predicts: dadsp predict run={out} pairs=…"
    )
