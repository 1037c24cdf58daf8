"""A graph cut on intensities, as the paper that this program reproduces compares its U-Net with."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.morphology.label_voxels import bounding_box
from vesselseg.volume import Volume

#: Voxels below the first are decided to be tissue and above the second vessel: noise of the tissue above its median.
LOW, HIGH = 1.0, 3.0
#: Weight of the borders between neighbours against the likelihood of the intensities.
SMOOTHNESS = 3.0
#: Half of a neighbourhood of 26.
_NEIGHBOURS = [step for step in itertools.product((-1, 0, 1), repeat=3) if step > (0, 0, 0)]


def segment_by_graph_cut(scan: Volume, inside: NDArray[np.bool_], truth: NDArray[Any]) -> NDArray[np.bool_]:
    """Segment by a graph cut; see `vesselseg.baselines.Baseline.segment`. It does not look at the truth.

    Two thresholds decide what is tissue and what vessel; a Gaussian is fitted to each. Only the voxels in between are
    nodes, which are cut so that the likelihood of their intensities and the contrast along the border between
    neighbours become as large as they can together. A graph of all voxels would take several gigabytes.

    Needs PyMaxflow, an optional package under the GPL.

    References
    ----------
    Boykov Y, Kolmogorov V. An experimental comparison of min-cut/max-flow algorithms for energy minimization in
    vision. IEEE Trans Pattern Anal Mach Intell 2004;26:1124-1137. doi:10.1109/TPAMI.2004.60

    Livne M, et al. A U-Net deep learning framework for high performance vessel segmentation in patients with
    cerebrovascular disease. Front Neurosci 2019;13:97. doi:10.3389/fnins.2019.00097
    """
    import maxflow

    result = np.zeros(inside.shape, bool)
    box = bounding_box(inside)
    if box is None:
        return result
    image, region = scan.array[box].astype(np.float32), inside[box]
    tissue = image[region]
    middle = float(np.median(tissue))
    noise = 1.4826 * float(np.median(np.abs(tissue - middle))) or 1.0
    low, high = middle + LOW * noise, middle + HIGH * noise
    vessel = region & (image >= high)
    undecided = region & (image > low) & ~vessel
    if not (vessel.any() and undecided.any()):
        result[box] = vessel
        return result
    # The classes as mixture of two Gaussians; bright lumen may be clipped to one value, hence at least the noise.
    bright = image[vessel]
    costs = [
        _cost(image[undecided], float(bright.mean()), max(float(bright.std()), noise), bright.size),
        _cost(image[undecided], middle, noise, tissue.size - bright.size),
    ]
    numbers = np.full(image.shape, -1, np.int64)
    numbers[undecided] = np.arange(costs[0].size)
    graph = maxflow.GraphFloat(costs[0].size, costs[0].size * 4)
    nodes = graph.add_nodes(costs[0].size)
    spacing = np.asarray(scan.geometry.spacing_zyx)
    for step in _NEIGHBOURS:
        distance = float(np.linalg.norm(np.asarray(step) * spacing) / spacing.min())
        here, there = (tuple(part) for part in zip(*(_shifted(s) for s in step)))
        weight = SMOOTHNESS * np.exp(-((image[here] - image[there]) ** 2) / (2 * noise**2)) / distance
        one, other = numbers[here], numbers[there]
        both = (one >= 0) & (other >= 0)
        graph.add_edges(one[both], other[both], weight[both], weight[both])
        for node, neighbour in ((one, there), (other, here)):
            # A decided neighbour is no node: the border to it is paid at the terminals.
            known = (node >= 0) & (numbers[neighbour] < 0) & region[neighbour]
            for cost, kind in zip(costs, (~vessel[neighbour], vessel[neighbour])):
                np.add.at(cost, node[known & kind], weight[known & kind])
    # On the side of the source, and so vessel, stays what would pay more as tissue.
    graph.add_grid_tedges(nodes, costs[1], costs[0])
    graph.maxflow()
    vessel[undecided] = ~graph.get_grid_segments(nodes)
    result[box] = vessel
    return result


def _cost(values: NDArray[np.float32], mean: float, deviation: float, count: int) -> NDArray[np.float64]:
    """Return the negative logarithm of the likelihood, up to a constant for both classes."""
    return 0.5 * ((values.astype(np.float64) - mean) / deviation) ** 2 + np.log(deviation) - np.log(count)


def _shifted(step: int) -> tuple[slice, slice]:
    """Return along one axis all places that have a neighbour `step` away, and these neighbours."""
    here = slice(max(0, -step), -step if step > 0 else None)
    there = slice(max(0, step), step if step < 0 else None)
    return here, there
