"""What imputing and embedding found, written into a folder that is complete when it has the JSON file, which comes last."""

from functools import partial
from pathlib import Path

from dadsp.analysis.design import Design, DesignOptions, plate_map
from dadsp.analysis.embedding import Embedding
from dadsp.analysis.missing_pairs import Imputation, ImputeOptions
from dadsp.files import withdraw, write_atomically, write_json
from dadsp.schema import Study
from dadsp.written_tables import WRITERS, write_csv


def write_imputation(found: Imputation, study: Study, options: ImputeOptions, out: Path) -> None:
    """Writes tables, figures and ``impute.json``."""
    from dadsp.analysis.missing_pairs_figures import coverage_figure, ranking_figure  # pulls in matplotlib

    withdraw(out / "impute.json")
    tables = {
        f"missing_pairs.{options.format}": found.pairs,
        "drug_ranking.csv": found.ranking,
        "back_test.csv": found.back_test,
        "coverage.csv": found.coverage,
    }
    for name, frame in tables.items():
        write_atomically(out / name, partial(WRITERS[Path(name).suffix], frame))
    title = f"{found.facts['system']}\nunmeasured pairs of {found.screen.name}"
    ranking_figure(found.pairs, found.ranking, found.screen, out / "drug_ranking.png", title, options.top, 1 - options.alpha)
    title = f"{found.facts['system']}\nintervals from held-out lines"
    coverage_figure(found.coverage, out / "coverage.png", title, study.source.name, study.target.name)
    write_json(out / "impute.json", found.facts)


def write_design(found: Design, options: DesignOptions, out: Path) -> None:
    """Writes the list, the plate map, figures and ``design.json``."""
    from dadsp.analysis.design_figures import gain_figure, plates_figure  # pulls in matplotlib

    withdraw(out / "design.json")
    write_atomically(out / "design.csv", partial(write_csv, found.pairs))
    write_atomically(out / "plate_map.csv", partial(write_csv, plate_map(found.pairs, options.plate)))
    plates_figure(found.pairs, options.plate, out / "plates.png", found.screen.cells.called())
    facts = found.facts
    title = f"{facts['n_pairs']} pairs of {facts['screen']}"
    gain_figure(found.pairs, facts["expected_rmse_before"], facts["label_noise_sd"], out / "gain.png", title)
    write_json(out / "design.json", facts)


def write_embedding(found: Embedding, out: Path) -> None:
    """Writes tables, the maps and ``embed.json``."""
    from dadsp.analysis.embedding_figures import maps_figure  # pulls in matplotlib

    withdraw(out / "embed.json")
    write_atomically(out / "coordinates.csv", partial(write_csv, found.coordinates))
    write_atomically(out / "measures.csv", partial(write_csv, found.measures))
    screens = " and ".join(found.facts["screens"].values())
    model = f"{found.facts['system']}, alignment={found.facts['alignment']}"  # before training, too, expression is aligned
    maps_figure(found.coordinates, out / "maps.png", f"{model}\nlines of {screens}, t-SNE")
    write_json(out / "embed.json", found.facts)
