"""Batches hold every pair exactly once and distinct lines once, and compute alike however their rows lie."""

import numpy as np
import pytest
import torch

from dadsp.models.training.batches import BlockBatches, BlockShare, LabelledPairs, PairBatches, RowBatches
from dadsp.nets.dadsp_network import DadspNetwork


def pairs(n: int = 53) -> LabelledPairs:
    random = np.random.default_rng(0)
    every = random.permutation(20 * 6)[:n]
    return LabelledPairs(every // 6, every % 6, random.random(n).astype(np.float32))


def batches(epoch: int = 0, size: int = 8, n: int = 53, seed: int = 0, **more: object) -> PairBatches:
    return PairBatches(pairs(n), size=size, seed=seed, epoch=lambda: epoch, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [8, 53, 64])
def test_every_pair_stands_exactly_once_an_epoch(size: int) -> None:
    data = pairs()
    found = []
    for batch in batches(size=size):
        line = batch.lines[batch.line_of_row]
        drug = batch.drugs[batch.drug_of_pair]
        found += list(zip(line.tolist(), drug.tolist(), batch.label.tolist(), strict=True))
    assert sorted(found) == sorted(zip(data.line.tolist(), data.drug.tolist(), data.label.tolist(), strict=True))
    assert len(batches(size=size)) == -(-53 // size)


def test_lines_and_drugs_of_a_batch_are_distinct() -> None:
    for batch in batches(size=32, target_lines=np.arange(20, 29)):
        assert len(batch.lines.unique()) == len(batch.lines)
        assert len(batch.drugs.unique()) == len(batch.drugs)


def test_target_rows_are_as_many_as_pairs_and_each_line_comes_once_before_any_again() -> None:
    target = np.arange(20, 29)
    drawn: list[int] = []
    for batch in batches(target_lines=target):
        rows = batch.lines[batch.line_of_row][len(batch.label) :].tolist()
        assert len(rows) == len(batch.label)
        drawn += rows
    for start in range(0, len(drawn) - len(target) + 1, len(target)):
        assert sorted(drawn[start : start + len(target)]) == target.tolist()


def test_target_rows_do_not_depend_on_the_source_lines_of_the_batch() -> None:
    data = pairs()
    other = LabelledPairs(data.line[::-1].copy(), data.drug, data.label)
    settings = {"size": 8, "seed": 3, "epoch": lambda: 0, "target_lines": np.arange(20, 29)}
    for a, b in zip(PairBatches(data, **settings), PairBatches(other, **settings), strict=True):  # type: ignore[arg-type]
        n = len(a.label)
        assert a.lines[a.line_of_row][n:].tolist() == b.lines[b.line_of_row][n:].tolist()


def test_paired_design_takes_the_partner_of_each_source_line() -> None:
    partner = np.arange(20) + 100
    for batch in batches(partner=partner):
        line = batch.lines[batch.line_of_row]
        n = len(batch.label)
        assert (line[n:] == line[:n] + 100).all()


def test_order_depends_on_seed_and_epoch_alone() -> None:
    def order(**settings: int) -> list[float]:
        return [value for batch in batches(**settings) for value in batch.label.tolist()]

    assert order(epoch=2, seed=0) == order(epoch=2, seed=0)
    assert order(epoch=2, seed=0) != order(epoch=3, seed=0)
    assert order(epoch=2, seed=0) != order(epoch=2, seed=1)


def test_row_batches_hold_every_row_once() -> None:
    batches_of_epoch = list(RowBatches(11, size=4, seed=0, epoch=lambda: 1))
    assert [len(batch) for batch in batches_of_epoch] == [4, 4, 3]
    assert sorted(int(row) for batch in batches_of_epoch for row in batch) == list(range(11))


def blocks(epoch: int = 0, shape: tuple[int, int] = (4, 3), target: bool = True, seed: int = 0) -> BlockBatches:
    target_lines = np.arange(20, 29) if target else None
    return BlockBatches(pairs(), shape=shape, seed=seed, epoch=lambda: epoch, target_lines=target_lines)


@pytest.mark.parametrize("shape", [(4, 3), (32, 32), (5, 1)])
def test_blocks_hold_every_pair_exactly_once_an_epoch(shape: tuple[int, int]) -> None:
    data = pairs()
    found = []
    for block in blocks(shape=shape):
        assert block.n_source <= shape[0]
        assert len(block.drugs) <= shape[1]
        for row, column in block.weight.nonzero().tolist():
            found.append((int(block.lines[row]), int(block.drugs[column]), float(block.label[row, column])))
    assert sorted(found) == sorted(zip(data.line.tolist(), data.drug.tolist(), data.label.tolist(), strict=True))


def test_block_weights_make_every_pair_count_the_same() -> None:
    batches_of_epoch = list(blocks())
    weights = {float(weight) for block in batches_of_epoch for weight in block.weight.flatten() if weight}
    assert len(weights) == 1
    assert sum(float(block.weight.sum()) for block in batches_of_epoch) == pytest.approx(len(blocks()))


def test_blocks_bring_target_lines_beside_their_source_lines() -> None:
    for block in blocks():
        target = block.lines[block.n_source :]
        assert len(target.unique()) == len(target) <= block.n_source
        assert ((target >= 20) & (target < 29)).all()
    assert all(len(block.lines) == block.n_source for block in blocks(target=False))


def test_block_order_depends_on_seed_and_epoch_alone() -> None:
    def order(**settings: int) -> list[list[int]]:
        return [block.lines.tolist() for block in blocks(**settings)]  # type: ignore[arg-type]

    assert order(epoch=1) == order(epoch=1)
    assert order(epoch=1) != order(epoch=2)
    assert order(epoch=1) != order(epoch=1, seed=1)


@pytest.mark.parametrize(("min_blocks", "shape"), [(1, (16, 6)), (5, (4, 6)), (10, (4, 3)), (10**6, (1, 1))])
def test_blocks_shrink_until_an_epoch_has_enough_of_them(min_blocks: int, shape: tuple[int, int]) -> None:
    made = BlockBatches(pairs(), shape=(16, 32), seed=0, epoch=lambda: 0, min_blocks=min_blocks)
    n_lines, n_drugs = len(made.lines), len(made.drugs)
    assert made.shape == shape
    assert len(made) >= min(min_blocks, n_lines * n_drugs)
    assert sum(int((block.weight > 0).sum()) for block in made) == len(pairs())


@pytest.mark.parametrize("n_processes", [2, 3, 7])
def test_processes_take_every_pair_exactly_once_an_epoch_in_equally_many_steps(n_processes: int) -> None:
    data, found = pairs(), []
    for rank in range(n_processes):
        share = BlockShare(blocks(), rank=rank, n_processes=n_processes)
        steps = list(share)
        assert len(steps) == len(share) == -(-len(blocks()) // n_processes)
        for block in steps:
            found += [(int(block.lines[row]), int(block.drugs[column])) for row, column in block.weight.nonzero().tolist()]
    assert sorted(found) == sorted(zip(data.line.tolist(), data.drug.tolist(), strict=True))


def test_process_without_a_block_in_the_last_step_has_no_weight() -> None:
    n_processes = len(blocks()) - 1
    *_, taking = BlockShare(blocks(), rank=0, n_processes=n_processes)
    *_, idle = BlockShare(blocks(), rank=n_processes - 1, n_processes=n_processes)
    assert taking.domain_weight == n_processes
    assert idle.domain_weight == idle.weight.abs().sum() == 0
    assert len(idle.lines)


def network() -> DadspNetwork:
    torch.manual_seed(0)
    return (
        DadspNetwork(
            3,
            2,
            encoder_widths=(4,),
            drug_widths=(),
            regressor_widths=(5,),
            discriminator_widths=None,
            activation="tanh",
            encoder_activation="tanh",
        )
        .double()
        .requires_grad_(False)
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "made", [blocks(shape=(5, 4)), batches(size=8, target_lines=np.arange(20, 29))], ids=["blocks", "pairs"]
)
def test_squared_errors_of_an_epochs_batches_add_up_to_those_of_its_pairs(
    made: BlockBatches | PairBatches, weighted: bool
) -> None:
    data, model = pairs(), network()
    codes, drugs = torch.rand(29, 4, dtype=torch.float64), torch.rand(6, 2, dtype=torch.float64)
    factor = torch.rand(29, dtype=torch.float64) if weighted else torch.ones(29, dtype=torch.float64)
    total = torch.zeros((), dtype=torch.float64)
    for batch in made:
        predicted = batch.potency(model, codes[batch.lines], drugs[batch.drugs])
        error = batch.mean_squared_error(predicted, factor[batch.lines] if weighted else None)
        total += error * (len(data) / len(made) if isinstance(made, BlockBatches) else len(batch.label))
    expected = 0.0
    for line, drug, label in zip(data.line, data.drug, data.label, strict=True):
        joined = torch.cat([codes[line], drugs[drug]]).unsqueeze(0)
        expected += float(factor[line] * (torch.sigmoid(model.regressor(joined)).squeeze() - float(label)) ** 2)
    assert float(total) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("made", [blocks(), batches(target_lines=np.arange(20, 29))], ids=["blocks", "pairs"])
def test_domain_halves_are_codes_of_source_rows_and_of_target_rows(made: BlockBatches | PairBatches) -> None:
    for batch in made:
        source, target = batch.domain_halves(batch.lines.unsqueeze(1))
        assert len(source)
        assert bool((source < 20).all() and (target >= 20).all())
        assert set(torch.cat([source, target]).flatten().tolist()) == set(batch.lines.tolist())
        assert batch.domain_weight == 1
    n_pairs = [len(batch.domain_halves(batch.lines.unsqueeze(1))[0]) for batch in batches(target_lines=np.arange(20, 29))]
    assert sum(n_pairs) == 53  # a row per pair; a block has a row per line
