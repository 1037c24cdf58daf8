"""What a TOF sequence makes of vessels and tissue: inflow signal, blur, noise, windowing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vesselseg.image_io import UNSURE
from vesselseg.synthesis.artefacts import ghosted, slab_steps
from vesselseg.synthesis.background import Background
from vesselseg.synthesis.drawing import Drawing
from vesselseg.synthesis.tissue import random_field
from vesselseg.volume import Volume


@dataclass(frozen=True)
class Acquisition:
    """How a scan is taken. Signals are relative to brain tissue.

    Parameters
    ----------
    lumen : float
        Signal of fresh blood in a large artery.
    thin_share : float
        Inflow enhancement of the thinnest arteries, whose blood is slow, as a share of the large ones'.
    slab_mm : float
        Height of a slab, in mm; blood is saturated on its way up through it.
    slab_loss : float
        Share of the enhancement that is lost at the top of a slab.
    patchiness : float
        Standard deviation of slow changes of the enhancement over the head.
    blur : float
        Standard deviation of the point-spread function, in voxels.
    noise : float
        Standard deviation of the noise added to each of the two channels.
    noise_blur : float
        Standard deviation of its smoothing by interpolation, in voxels.
    bias : float
        Standard deviation of the receive coil's shading.
    ceiling : float
        Signal at which the window clips.
    faintest : float
        Enhancement that no artery falls below, or the label would ask for the invisible.
    bend_loss, flow_spread : float
        See `vesselseg.synthesis.variation.with_flow`.
    slab_step : float
        Share of the tissue's signal lost at the ends of a slab.
    ghosts : bool
        Whether there are ghosts of motion.
    phase_blur : float
        How many times as wide the point-spread function is in the phase direction: fewer lines are measured there.
    phase_axis : {1, 2}
        The phase direction: 1 for y, 2 for x.
    levels : int
        Grey value at the ceiling: 255 fills 8 bits, 65535 fills 16.
    """

    lumen: float = 2.6
    thin_share: float = 0.75
    slab_mm: float = 35.0
    slab_loss: float = 0.2
    patchiness: float = 0.15
    blur: float = 0.45
    noise: float = 0.09
    noise_blur: float = 0.4
    bias: float = 0.08
    ceiling: float = 3.0
    faintest: float = 0.5
    bend_loss: float = 0.3
    flow_spread: float = 0.15
    slab_step: float = 0.0
    ghosts: bool = False
    phase_blur: float = 1.0
    phase_axis: int = 1
    levels: int = 255


def random_acquisition(rng: np.random.Generator, background: Background) -> Acquisition:
    """Draw the settings of a scan, from faint arteries to ones that clip, from smooth to noisy.

    Parameters
    ----------
    rng : numpy.random.Generator
    background : Background
        A real one brings its own noise and window along; less is added.

    Returns
    -------
    Acquisition
    """
    real = background.noise > 0
    # Draws of its own, so that those after it stay what they are for a seed.
    own = rng.spawn(1)[0]
    phase_blur = own.uniform(1.0, 1.8) if own.random() < 0.5 else 1.0
    phase_axis, wide = int(own.integers(1, 3)), own.random() < 0.3
    levels = int(np.exp(own.uniform(np.log(400), np.log(65535)))) if wide else 255
    noise = rng.uniform(0.0, 0.06) if real else rng.uniform(0.02, 0.13)
    return Acquisition(
        lumen=float(np.exp(rng.uniform(np.log(1.35), np.log(4.5)))),
        thin_share=rng.uniform(0.4, 1.0),
        slab_mm=rng.uniform(22, 60),
        slab_loss=rng.uniform(0.0, 0.45),
        patchiness=rng.uniform(0.05, 0.3),
        blur=rng.uniform(0.25, 0.75),
        noise=noise,
        noise_blur=rng.uniform(0.0, 0.7),
        bias=rng.uniform(0.0, 0.12),
        ceiling=min(background.ceiling, rng.uniform(1.8, 4.5)),
        faintest=0.15 + rng.uniform(1.0, 3.5) * float(np.hypot(noise, background.noise)),
        bend_loss=rng.uniform(0.0, 0.6),
        flow_spread=rng.uniform(0.0, 0.3),
        slab_step=rng.uniform(0.0, 0.12) if rng.random() < 0.3 else 0.0,
        ghosts=bool(rng.random() < 0.12),
        phase_blur=phase_blur,
        phase_axis=phase_axis,
        levels=levels,
    )


def take_scan(
    background: Background, drawing: Drawing, acquisition: Acquisition, rng: np.random.Generator
) -> tuple[Volume, Volume]:
    """Put drawn vessels into a background and scan both.

    Parameters
    ----------
    background : Background
    drawing : Drawing
        On the same grid.
    acquisition : Acquisition
    rng : numpy.random.Generator

    Returns
    -------
    scan : Volume
        float32, whole numbers from 0 to `Acquisition.levels`.
    label : Volume
        uint8: 1 in vessels, 0 elsewhere, `UNSURE` where the background says so.
    """
    from scipy.ndimage import gaussian_filter

    shape = background.image.shape
    spacing = background.geometry.spacing_zyx
    slab_offset = rng.uniform(0, acquisition.slab_mm)
    enhancement = _enhancement(drawing, acquisition, spacing[0], slab_offset, rng)
    enhancement = np.maximum(enhancement, acquisition.faintest)
    blur = [acquisition.blur] * 3
    blur[acquisition.phase_axis] *= acquisition.phase_blur
    occupancy = gaussian_filter(drawing.occupancy, blur)
    # The enhancement is known only where a vessel was drawn: spread it over the blurred edge in the same way.
    spread = gaussian_filter(drawing.occupancy * enhancement, blur)
    lumen = 1 + spread / np.maximum(occupancy, 1e-4)
    # A real scan is blurred already.
    tissue = background.image if background.noise > 0 else gaussian_filter(background.image, blur)
    image = tissue + np.where(occupancy > 1e-3, occupancy * (lumen - tissue), 0)

    if acquisition.slab_step:
        slab = acquisition.slab_mm / spacing[0]
        image *= slab_steps(shape[0], slab, acquisition.slab_step, slab_offset / spacing[0])
    if acquisition.ghosts:
        image = ghosted(image, acquisition.phase_axis, rng)
    image *= 1 + np.float32(acquisition.bias) * random_field(shape, 60.0 / spacing[2], rng)
    noise = np.full(shape, acquisition.noise, np.float32)
    if background.noise > 0:  # drawn lumen has none of the tissue's noise left: give it back
        noise = np.sqrt(noise**2 + (background.noise * occupancy) ** 2)
    image = np.hypot(image + noise * _noise(shape, acquisition, rng), noise * _noise(shape, acquisition, rng))

    ceiling = acquisition.ceiling if np.isfinite(acquisition.ceiling) else float(image.max())
    scan = np.rint(np.clip(image / ceiling, 0, 1) * acquisition.levels).astype(np.float32)
    label = drawing.label.copy()
    if background.unsure is not None:
        label[background.unsure & (label == 0)] = UNSURE
    geometry = background.geometry
    return Volume(scan, geometry), Volume(label, geometry)


def _enhancement(
    drawing: Drawing, acquisition: Acquisition, spacing: float, slab_offset: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    shape = drawing.radius.shape
    thick = np.clip((drawing.radius - 0.3) / 0.9, 0, 1)
    by_calibre = acquisition.thin_share + (1 - acquisition.thin_share) * thick
    in_slab = ((np.arange(shape[0]) * spacing + slab_offset) % acquisition.slab_mm) / acquisition.slab_mm
    # Fast flow in large vessels crosses a slab with little loss.
    loss = acquisition.slab_loss * in_slab[:, None, None].astype(np.float32) * (1 - 0.6 * thick)
    patches = np.exp(acquisition.patchiness * random_field(shape, 9.0 / spacing, rng))
    return ((acquisition.lumen - 1) * by_calibre * (1 - loss) * patches * drawing.flow).astype(np.float32)


def _noise(shape: tuple[int, ...], acquisition: Acquisition, rng: np.random.Generator) -> NDArray[np.float32]:
    from scipy.ndimage import gaussian_filter

    noise = rng.standard_normal(shape, dtype=np.float32)
    if acquisition.noise_blur > 0.2:
        noise = gaussian_filter(noise, acquisition.noise_blur)
        noise /= noise[:4].std()
    return noise
