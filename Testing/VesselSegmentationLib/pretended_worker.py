"""Stands in for ``python -m vesselseg``; the variable PRETEND says what it does."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time

#: Part of the highest intensity that this worker calls the probability.
LEVEL = 0.5


def report(event, **values):
    print(json.dumps({"event": event, **values}), flush=True)


def stop_with_stdin():
    while os.read(0, 1024):  # not through sys.stdin, whose lock would break the end of the interpreter
        pass
    os._exit(130)


def preview(arguments):
    """Write every other voxel of the scan's bright ones, or a file that is no image."""
    from vesselseg.image_io import read_volume, write_volume
    from vesselseg.volume import Volume

    scan, path = read_volume(arguments[1]), dict(itertools.pairwise(arguments))["--preview"]
    if os.environ["PRETEND"] == "preview-damaged":
        with open(path, "w") as file:
            file.write("not an image")
    else:
        grid = scan.geometry.resampled(tuple(2 * side for side in scan.geometry.spacing))
        bright = scan.array[::2, ::2, ::2] >= LEVEL * scan.array.max()
        write_volume(Volume(bright.astype("uint8"), grid), path)
    report("preview", preview=path, seconds=1.5)
    report("progress", percent=30, message="brain mask")


def segment(arguments):
    import numpy as np

    from vesselseg.image_io import read_volume, write_volume
    from vesselseg.volume import Volume

    option = dict(itertools.pairwise(arguments))
    scan = read_volume(arguments[1])
    if option["--brain-mask"] not in ("auto", "none"):
        scan = scan.with_array(scan.array * read_volume(option["--brain-mask"]).array)
    probability = scan.with_array((scan.array / scan.array.max()).astype(np.float32))
    threshold = float(option.get("--threshold", LEVEL))
    label = scan.with_array((probability.array >= threshold).astype(np.uint8))
    if os.environ["PRETEND"] == "other-grid":
        z, y, x = label.array.shape
        box = (slice(0, z - 1), slice(0, y), slice(0, x))
        label = Volume(label.array[box], label.geometry.cropped(box))
    write_volume(label, option["--output"])
    write_volume(probability, option["--probability"])
    report(
        "result",
        model=option.get("--model", "pretended"),
        device="cpu",
        device_name='pretended: 2 cores; "quick"',
        engine="openvino",
        precision="fp32",
        seconds=1.5,
        threshold=threshold,
        min_component_mm3=0.0,
        vessel_voxels=int(label.array.sum()),
        vessel_ml=0.1,
        notes=["grün; 100 %"],
    )


def main():
    behaviour = os.environ["PRETEND"]
    with open(sys.argv[-1], encoding="utf-8") as file:  # after "--arguments-from"
        arguments = json.load(file)
    threading.Thread(target=stop_with_stdin, daemon=True).start()
    report("progress", percent=10, message="reading the scan")
    if behaviour == "sleep":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        report("log", level="info", message=f"child {child.pid}")
        time.sleep(600)
    elif behaviour == "error":
        report("error", message="the scan has no contrast", advice="export it again")
        sys.exit(1)
    elif behaviour == "crash":
        raise ImportError("libcudnn.so.9: cannot open shared object file")
    elif behaviour == "killed":
        print("loading weights", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    elif behaviour == "nothing":
        pass
    elif behaviour == "devices":
        report("result", devices=[{"name": "cpu", "label": "a CPU", "memory_bytes": 2**33}])
    elif behaviour == "talk":
        print("a library says hello")
        print('{"event": "unknown"}')
        report("progress", percent=50, message="half")
        report("progress", percent=40, message="a stage begins anew")
        report("progress", percent="nonsense", message="still")
        report("log", level="warning", message="on the CPU")
        print("no newline at the end", end="", flush=True)
    else:
        if behaviour.startswith("preview"):
            preview(arguments)
        if behaviour == "preview-sleep":
            time.sleep(600)
        elif behaviour == "preview-error":
            # Once it has been seen.
            time.sleep(2)
            report("error", message="the disk is full", advice="make room")
            sys.exit(1)
        report("progress", percent=60, message="network")
        segment(arguments)


if __name__ == "__main__":
    main()
