"""Gene sets that hold more critical genes than chance would put there: over-representation, offline."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from dadsp.errors import LoadError, MissingIdsError, SchemaError, examples

GeneSets = dict[str, frozenset[str]]


def read_gmt(path: Path) -> GeneSets:
    """The gene sets of a GMT file: a line each, name, description and genes separated by tabs.

    Raises:
        LoadError: The file cannot be read as text.
        SchemaError: It is empty, a line is no gene set, or a name stands twice.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LoadError(f"Gene sets {path} cannot be read ({error}). Give a GMT text file.") from error
    sets: GeneSets = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        name, *rest = (field.strip() for field in line.split("\t"))
        genes = frozenset(filter(None, rest[1:]))
        if not name or not genes:
            raise SchemaError(
                f"{path}, line {number}: '{line[:60]}' is no gene set. A GMT line holds a name, a description and at least "
                "one gene, separated by tabs."
            )
        if name in sets:
            raise SchemaError(f"{path}, line {number}: the gene set '{name}' stands more than once. Keep one of them.")
        sets[name] = genes
    if not sets:
        raise SchemaError(f"{path} holds no gene set. Give a GMT file with at least one line.")
    return sets


def over_representation(
    critical: Iterable[str], background: Iterable[str], gene_sets: GeneSets, *, min_genes: int = 5
) -> pd.DataFrame:
    """One-sided hypergeometric test of every gene set, Benjamini-Hochberg over all sets tested, most significant first.

    The background is what could have been found: genes of a set outside it are left out of the test and counted. Sets
    without a critical gene are tested like any other (p = 1); leaving them out of the correction, as gseapy by itself does,
    would make the number of tests depend on the result.

    Args:
        critical: The chosen genes, all of the background.
        background: All genes that could have been chosen, those of the study.
        gene_sets: By name.
        min_genes: Sets with fewer genes in the background are not tested.

    Returns:
        Columns gene_set, hits (critical genes in the set), set_genes (of the set in the background), outside_background,
        critical_genes, background_genes, fold (hits over those expected), p_value, q_value, genes (the hits).

    Raises:
        MissingIdsError: No set has enough genes in the background.
    """
    from gseapy.stats import (
        calc_pvalues,
        multiple_testing_correction,
    )  # loads pyplot and an HTTP client, used by nothing here

    chosen, known = set(critical), set(background)
    tested = {name: genes & known for name, genes in gene_sets.items() if len(genes & known) >= min_genes}
    if not tested:
        named = sorted(set().union(*gene_sets.values()))
        raise MissingIdsError(
            f"None of {len(gene_sets)} gene sets has {min_genes} of the study's {len(known)} genes (sets name e.g. "
            f"{examples(named)}; the study {examples(sorted(known))}). Give sets in the study's nomenclature, or lower "
            "min_set_genes."
        )
    found = {name: (p, hits) for name, p, _, _, _, hits in zip(*calc_pvalues(chosen, tested, known), strict=True)}
    rows = []
    for name, genes in tested.items():
        p_value, hits = found.get(name, (1.0, set()))
        rows.append(
            {
                "gene_set": name,
                "hits": len(hits),
                "set_genes": len(genes),
                "outside_background": len(gene_sets[name]) - len(genes),
                "critical_genes": len(chosen),
                "background_genes": len(known),
                "fold": len(hits) * len(known) / (len(chosen) * len(genes)),
                "p_value": float(p_value),
                "genes": " ".join(sorted(hits)),
            }
        )
    frame = pd.DataFrame(rows)
    q_value, _ = multiple_testing_correction(frame["p_value"].to_numpy())
    frame.insert(8, "q_value", np.asarray(q_value))
    return frame.sort_values(["p_value", "gene_set"], ignore_index=True)
