"""A synthetic TOF-MRA scan with its exact label: something to try the program on, and to measure it by."""

from __future__ import annotations

from vesselseg.geometry import Geometry
from vesselseg.volume import Volume

#: A small head on a small grid: drawn, segmented and looked at within seconds.
PHANTOM_GEOMETRY = Geometry((160, 192, 128), (0.6, 0.6, 0.6), (-47.7, -57.3, -38.1))


def make_phantom(seed: int = 0) -> tuple[Volume, Volume]:
    """Return scan and label of `make_phantom_with_radii`."""
    return make_phantom_with_radii(seed)[:2]


def make_phantom_with_radii(seed: int = 0) -> tuple[Volume, Volume, Volume]:
    """Draw a phantom: a grown artery tree in a simulated head, scanned with noise.

    Parameters
    ----------
    seed : int
        The same seed draws the same phantom; others have other vessels, tissue and contrast.

    Returns
    -------
    scan : Volume
        float32, 0 to 255; 160 x 192 x 128 voxels of 0.6 mm.
    label : Volume
        uint8; 1 where arteries were drawn: at least half of the voxel is lumen, or a centreline runs through it.
        Dural sinuses, veins and vessels of the scalp are in the scan but not in the label, as in a manual one.
    radius : Volume
        float32; in the voxels of the label, the radius of the artery in mm, 0 elsewhere.
    """
    import numpy as np

    from vesselseg.synthesis.dataset import grown_scene
    from vesselseg.synthesis.drawing import draw
    from vesselseg.synthesis.scan import Acquisition, take_scan

    rng = np.random.default_rng([seed, 2019])
    tree, head = grown_scene(PHANTOM_GEOMETRY, rng)
    acquisition = Acquisition(
        lumen=rng.uniform(2.4, 3.4),
        thin_share=rng.uniform(0.7, 0.95),
        slab_loss=rng.uniform(0.05, 0.25),
        noise=rng.uniform(0.05, 0.09),
        ceiling=rng.uniform(2.4, 3.2),
    )
    drawing = draw(tree, PHANTOM_GEOMETRY)
    scan, label = take_scan(head, drawing, acquisition, rng)
    # Veins, of which training learns nothing, are marked apart; in a reference they are no arteries.
    artery = label.array == 1
    radius = np.where(artery, drawing.radius, np.float32(0))
    return scan, label.with_array(artery.astype(np.uint8)), label.with_array(radius)
