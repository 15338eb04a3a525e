"""Trees as arrays: a forest of scikit-learn or a booster of LightGBM, saved without their own formats and evaluated here.

Trees lie one after the other. ``roots`` (n_trees,): where each begins. Per node: ``children`` (n_nodes, 2),
where to go when the feature is at most the threshold and when it is above; ``feature``, negative at a leaf; ``threshold``;
``value``, of a leaf.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dadsp.models.base import Arrays
from dadsp.models.systems.pair_design import PairDesign, Values

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestRegressor

LEAVES_AT_ONCE = 2**21  # (row, tree) pairs on their way down


def forest_arrays(forest: "RandomForestRegressor") -> Arrays:
    """The trees of a fitted forest."""
    trees = [estimator.tree_ for estimator in forest.estimators_]
    roots = np.cumsum([0, *(tree.node_count for tree in trees[:-1])])
    pairs = zip(trees, roots, strict=True)
    children = [np.column_stack([tree.children_left, tree.children_right]) + root for tree, root in pairs]
    return {
        "roots": roots.astype(np.int32),
        "children": np.concatenate(children).astype(np.int32),
        "feature": np.concatenate([tree.feature for tree in trees]).astype(np.int32),
        "threshold": np.concatenate([tree.threshold for tree in trees]),
        "value": np.concatenate([tree.value.ravel() for tree in trees]),
    }


def booster_arrays(trees: list[dict[str, Any]]) -> Arrays:
    """The trees of a booster, whose leaves add up; numeric features without missing values.

    Args:
        trees: ``tree_info`` of LightGBM's ``Booster.dump_model``, which writes float64 in full.
    """
    roots: list[int] = []
    nodes: list[dict[str, Any]] = []
    children: list[list[int]] = []
    for tree in trees:
        roots.append(len(nodes))
        ahead = [(tree["tree_structure"], -1, 0)]
        while ahead:
            node, parent, side = ahead.pop()
            here = len(nodes)
            if parent >= 0:
                children[parent][side] = here
            nodes.append(node)
            children.append([here, here])
            if "split_feature" in node:
                ahead += [(node["right_child"], here, 1), (node["left_child"], here, 0)]
    return {
        "roots": np.array(roots, dtype=np.int32),
        "children": np.array(children, dtype=np.int32),
        "feature": np.array([node.get("split_feature", -1) for node in nodes], dtype=np.int32),
        "threshold": np.array([node.get("threshold", 0) for node in nodes], dtype=np.float64),
        "value": np.array([node.get("leaf_value", 0) for node in nodes], dtype=np.float64),
    }


def leaf_values(arrays: Arrays, rows: NDArray[Any]) -> Values:
    """The value of the leaf that each row reaches in each tree, shape (n, n_trees).

    Args:
        arrays: From ``forest_arrays`` or ``booster_arrays``.
        rows: float32, compared with float64 thresholds as both libraries do, shape (n, n_features).
    """
    feature = arrays["feature"]
    node = np.tile(arrays["roots"], len(rows))
    row = np.repeat(np.arange(len(rows)), len(arrays["roots"]))
    going = np.flatnonzero(feature[node] >= 0)
    while len(going):
        here = node[going]
        above = rows[row[going], feature[here]] > arrays["threshold"][here]
        node[going] = arrays["children"][here, above.astype(np.int8)]
        going = going[feature[node[going]] >= 0]
    values: Values = arrays["value"][node].reshape(len(rows), -1)
    return values


def mean_of_trees(arrays: Arrays, design: PairDesign) -> Values:
    """Mean of the trees' leaves for each pair, as a forest predicts, shape (n_pairs,)."""
    at_once = max(1, LEAVES_AT_ONCE // len(arrays["roots"]))
    chunks = [slice(start, start + at_once) for start in range(0, len(design), at_once)]
    means: Values = np.concatenate([leaf_values(arrays, design.rows(chunk)).mean(axis=1) for chunk in chunks])
    return means


def sum_of_trees(arrays: Arrays, design: PairDesign) -> Values:
    """Sum of the trees' leaves for each pair, as a booster predicts, shape (n_pairs,)."""
    return mean_of_trees(arrays, design) * len(arrays["roots"])
