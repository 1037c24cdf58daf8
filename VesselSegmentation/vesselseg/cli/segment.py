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
    parser.add_argument("--model", default="", metavar="NAME", help="see 'vesselseg models list' (default: the first)")
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
    from pathlib import Path

    from vesselseg.errors import VesselSegError
    from vesselseg.image_io import atomic_output, check_output, image_suffix, read_label, read_volume, write_image
    from vesselseg.progress import stage
    from vesselseg.segmentation import segment

    outputs = [Path(path) for path in (args.output, args.probability) if path]
    if len({path.resolve() for path in outputs}) < len(outputs):
        raise VesselSegError("label and probability would be the same file", "give two names")
    for path in outputs:
        image_suffix(path)
        check_output(path, overwrite=args.overwrite)  # known before the work, not after it
        if path.resolve() == Path(args.input).resolve():
            raise VesselSegError(f"{path} is the input", "choose another name for the output")
    reporter.progress(0.0, "reading the scan")
    scan = read_volume(args.input)
    mask = args.brain_mask if args.brain_mask in ("auto", "none") else read_label(args.brain_mask)
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
        # Left together: all outputs take their places, or none does.
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
