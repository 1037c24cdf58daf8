"""``vesselseg segment``."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from vesselseg.cli.arguments import add_overwrite_argument, checked
from vesselseg.cli.reporter import Reporter
from vesselseg.engines import ENGINE_CHOICES, PRECISION_CHOICES

if TYPE_CHECKING:
    from vesselseg.volume import Volume


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("input", metavar="INPUT", help="TOF scan: NIfTI, NRRD, MHA or a folder of DICOM files")
    parser.add_argument("--output", required=True, metavar="SEG", help="label to write, on the grid of the scan")
    parser.add_argument("--probability", metavar="PROB", help="probability map to write as well")
    parser.add_argument(
        "--preview",
        metavar="FILE",
        help="coarse label of the large vessels to write first, on a coarser grid, seconds after the start",
    )
    parser.add_argument(
        "--model",
        default="",
        metavar="MODEL",
        help="name, see 'vesselseg models list', or path of a manifest, as run/small.json (default: the one that is "
        "listed first)",
    )
    parser.add_argument("--threshold", type=_threshold, metavar="T", help="of the probability (default: the model's)")
    parser.add_argument(
        "--min-component", type=_component, metavar="MM3", help="remove smaller pieces, in mm3 (default: the model's)"
    )
    parser.add_argument(
        "--brain-mask",
        default="auto",
        metavar="auto|none|PATH",
        help="segment inside the brain found automatically, anywhere, or inside a given mask (default: auto)",
    )
    parser.add_argument(
        "--device", default="auto", metavar="auto|cuda|mps|cpu", help="where the network runs (default: auto)"
    )
    parser.add_argument(
        "--region",
        type=int,
        nargs=6,
        metavar=("X0", "X1", "Y0", "Y1", "Z0", "Z1"),
        help="segment only the voxels from X0 to before X1, and so on, counted from 0",
    )
    add_overwrite_argument(parser)
    # For front ends that read the outputs at once: packing and unpacking takes longer than writing and reading.
    parser.add_argument("--uncompressed", action="store_true", help=argparse.SUPPRESS)
    advanced = parser.add_argument_group("advanced")
    advanced.add_argument(
        "--engine",
        choices=ENGINE_CHOICES,
        default="auto",
        help="what computes the network (default: OpenVINO on a CPU, torch on a GPU)",
    )
    advanced.add_argument(
        "--precision",
        choices=PRECISION_CHOICES,
        default="auto",
        help="number format of the computation (default: f16 on CUDA; on a CPU bf16 where it is faster and was "
        "measured to change next to nothing, else f32)",
    )


def run(args: argparse.Namespace, reporter: Reporter) -> int:
    """Segment a scan."""
    started = time.perf_counter()
    from concurrent.futures import ThreadPoolExecutor
    from functools import partial

    from vesselseg.image_io import image_suffix, read_label, read_volume, write_image
    from vesselseg.output_files import atomic_output, atomic_outputs, check_outputs
    from vesselseg.progress import stage
    from vesselseg.segmentation import segment

    outputs = [args.output] + ([args.probability] if args.probability is not None else [])
    checked = outputs + ([args.preview] if args.preview is not None else [])
    for path in checked:
        image_suffix(path)
    mask_path = None if args.brain_mask in ("auto", "none") else args.brain_mask
    check_outputs(checked, inputs=(args.input, mask_path), overwrite=args.overwrite)  # known before the work
    reporter.progress(0.0, "reading the scan")
    write = partial(write_image, compress=not args.uncompressed)
    how: dict[str, bool] = {"overwrite": args.overwrite, "durable": not args.uncompressed}

    def write_preview(label: Volume) -> None:
        with atomic_output(args.preview, **how) as path:
            write(label, path)
        reporter.preview(args.preview, time.perf_counter() - started)

    result = segment(
        partial(read_volume, args.input),
        model=args.model,
        threshold=args.threshold,
        min_component_mm3=args.min_component,
        brain_mask=args.brain_mask if mask_path is None else partial(read_label, mask_path),
        device=args.device,
        engine=args.engine,
        precision=args.precision,
        region=args.region,
        preview=write_preview if args.preview is not None else None,
        progress=stage(reporter.progress, 0.01, 0.97),
    )
    reporter.progress(0.97, "writing")
    with atomic_outputs(outputs, **how) as paths, ThreadPoolExecutor(len(outputs)) as beside:
        list(beside.map(write, (result.label, result.probability), paths))
    reporter.progress(1.0, "done")
    done = result.run
    reporter.result(
        done.as_dict(),
        f"{args.output}: {done.vessel_ml:g} ml of vessels in {done.vessel_voxels} voxels; "
        f"model {done.model}, {done.device} ({done.device_name}), {done.engine} {done.precision}, {done.seconds:.1f} s",
    )
    return 0


@checked
def _threshold(text: str) -> float:
    from vesselseg.postprocessing import check_threshold

    check_threshold(value := float(text), 0.0)
    return value


@checked
def _component(text: str) -> float:
    from vesselseg.postprocessing import check_threshold

    check_threshold(1.0, value := float(text))
    return value
