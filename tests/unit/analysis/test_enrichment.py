"""Over-representation against scipy's hypergeometric distribution and Benjamini-Hochberg written out."""

import socket
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import hypergeom

from dadsp.analysis.enrichment import over_representation, read_gmt
from dadsp.errors import LoadError, MissingIdsError, SchemaError

BACKGROUND = [f"G{number}" for number in range(40)]
CRITICAL = BACKGROUND[:8]
SETS = {
    "HIT": frozenset(BACKGROUND[:6]),
    "SOME": frozenset([*BACKGROUND[6:12], "ELSEWHERE1", "ELSEWHERE2"]),
    "CHANCE": frozenset(BACKGROUND[5:30:5]),
    "NONE": frozenset(BACKGROUND[20:30]),
    "SMALL": frozenset([*BACKGROUND[:2], "ELSEWHERE1", "ELSEWHERE2", "ELSEWHERE3"]),
}


def test_p_values_are_hypergeometric_over_the_background() -> None:
    table = over_representation(CRITICAL, BACKGROUND, SETS).set_index("gene_set")
    for name in ("HIT", "SOME", "CHANCE", "NONE"):
        genes = SETS[name] & set(BACKGROUND)
        hits = genes & set(CRITICAL)
        row = table.loc[name]
        assert row["p_value"] == pytest.approx(hypergeom.sf(len(hits) - 1, 40, len(genes), 8))
        assert (row["hits"], row["set_genes"]) == (len(hits), len(genes))
        assert row["fold"] == pytest.approx(len(hits) / (8 * len(genes) / 40))
        assert set(row["genes"].split()) == hits
    assert table.loc["SOME", "outside_background"] == 2
    assert (table["critical_genes"] == 8).all()
    assert (table["background_genes"] == 40).all()


def test_sets_with_too_few_genes_in_the_background_are_not_tested() -> None:
    assert "SMALL" not in set(over_representation(CRITICAL, BACKGROUND, SETS)["gene_set"])
    assert "SMALL" in set(over_representation(CRITICAL, BACKGROUND, SETS, min_genes=2)["gene_set"])


def test_correction_counts_sets_without_a_hit() -> None:
    table = over_representation(CRITICAL, BACKGROUND, SETS)
    p = table["p_value"].to_numpy()  # ascending
    n = len(p)
    assert n == 4
    adjusted = [min(1.0, *(p[j] * n / (j + 1) for j in range(i, n))) for i in range(n)]
    assert table["q_value"].to_numpy() == pytest.approx(np.array(adjusted))
    assert table.set_index("gene_set").loc["NONE", "p_value"] == 1
    assert table.loc[0, "gene_set"] == "HIT"


def test_no_hit_anywhere_is_a_result() -> None:
    table = over_representation(BACKGROUND[-3:], BACKGROUND, {"A": frozenset(BACKGROUND[:5])})
    assert table[["hits", "p_value", "q_value"]].to_numpy().tolist() == [[0, 1, 1]]


def test_nothing_is_asked_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert len(over_representation(CRITICAL, BACKGROUND, SETS)) == 4


def test_sets_of_another_nomenclature_are_refused() -> None:
    with pytest.raises(MissingIdsError, match=r"None of 1 gene sets has 5 .*ENSG1.*G0.*nomenclature"):
        over_representation(CRITICAL, BACKGROUND, {"A": frozenset(f"ENSG{n}" for n in range(9))})


def test_gmt_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sets.gmt"
    path.write_text("A\thttp://a\tG1\tG2\tG1\n\nB\t\tG3\t\n")
    assert read_gmt(path) == {"A": {"G1", "G2"}, "B": {"G3"}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no gene set"),
        ("\n \n", "holds no gene set"),
        ("A\tx\tG1\nB,x,G2\n", "line 2: 'B,x,G2' is no gene set"),
        ("A\tx\n", "line 1: .* is no gene set"),
        ("\tx\tG1\n", "line 1: .* is no gene set"),
        ("A\tx\tG1\nA\tx\tG2\n", "line 2: the gene set 'A' stands more than once"),
    ],
)
def test_malformed_gmt_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "sets.gmt").write_text(text)
    with pytest.raises(SchemaError, match=message):
        read_gmt(tmp_path / "sets.gmt")


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00A"])
def test_absent_or_binary_gmt_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "sets.gmt").write_bytes(content)
    with pytest.raises(LoadError, match="cannot be read"):
        read_gmt(tmp_path / "sets.gmt")
