"""``vesselseg segment``."""

from __future__ import annotations

import argparse
import contextlib

from vesselseg.cli.reporter import Reporter


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("input", metavar="INPUT", help="TOF scan: NIfTI, NRRD, MHA or a folder of DICOM files")
    parser.add_argument("--output", required=True, metavar="SEG", help="label to write, on the grid of the scan")
    parser.add_argument("--probability", metavar="PROB", help="probability map to write as well")
    parser.add_argument(
        "--model",
        default="",
        metavar="NAME",
        help="see 'vesselseg models list' (default: the one that is listed first)",
    )
    parser.add_argument("--threshold", type=float, metavar="T", help="of the probability (default: the model's)")
    parser.add_argument(
        "--min-component", type=float, metavar="MM3", help="remove smaller pieces, in mm3 (default: the model's)"
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
    parser.add_argument("--overwrite", action="store_true", help="replace existing outputs")


def run(args: argparse.Namespace, reporter: Reporter) -> int:
    """Segment a scan."""
    from vesselseg.image_io import atomic_output, check_outputs, image_suffix, read_label, read_volume, write_image
    from vesselseg.progress import stage
    from vesselseg.segmentation import segment

    outputs = [args.output] + ([args.probability] if args.probability is not None else [])
    for path in outputs:
        image_suffix(path)
    mask_path = None if args.brain_mask in ("auto", "none") else args.brain_mask
    check_outputs(outputs, inputs=(args.input, mask_path), overwrite=args.overwrite)  # known before the work
    reporter.progress(0.0, "reading the scan")
    scan = read_volume(args.input)
    mask = read_label(mask_path) if mask_path is not None else args.brain_mask
    result = segment(
        scan,
        model=args.model,
        threshold=args.threshold,
        min_component_mm3=args.min_component,
        brain_mask=mask,
        device=args.device,
        progress=stage(reporter.progress, 0.01, 0.97),
    )
    reporter.progress(0.97, "writing")
    with contextlib.ExitStack() as stack:
        # Left together: either is written only once both are complete.
        for path, volume in zip(outputs, (result.label, result.probability)):
            write_image(volume, stack.enter_context(atomic_output(path, overwrite=args.overwrite)))
    reporter.progress(1.0, "done")
    done = result.run
    reporter.result(
        done.as_dict(),
        f"{args.output}: {done.vessel_ml:g} ml of vessels in {done.vessel_voxels} voxels; "
        f"model {done.model}, {done.device} ({done.device_name}), {done.precision}, {done.seconds:.1f} s",
    )
    return 0
