"""``vesselseg web``."""

from __future__ import annotations

import argparse
import importlib.util
import math

from vesselseg.cli.arguments import check_files
from vesselseg.cli.reporter import Reporter


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help="a scan or a saved session, and segmentations to compare with"
    )
    parser.add_argument("--port", type=_port, default=8080, metavar="N", help="0 for any free one (default: 8080)")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="H",
        help="address to listen on (default: 127.0.0.1, this machine only). Beyond that a token is asked for; it and "
        "the scans travel unencrypted unless a proxy or a tunnel encrypts them",
    )
    parser.add_argument(
        "--token", metavar="T", help="that visitors must have in the address (default: random where one is needed)"
    )
    parser.add_argument(
        "--visitors",
        type=_count,
        default=4,
        metavar="N",
        help="how many people there can be at a time, each with a process of their own (default: 4)",
    )
    parser.add_argument(
        "--idle-minutes",
        type=_minutes,
        default=math.inf,
        metavar="M",
        help="end when there has been no visitor for so long (default: never)",
    )
    parser.add_argument("--open", action="store_true", help="open the page in the browser of this machine")
    # The process of one visitor; its argument is a private folder.
    parser.add_argument("--visit", help=argparse.SUPPRESS)


def run(args: argparse.Namespace, reporter: Reporter) -> int:
    """Serve the page until Ctrl-C."""
    check_files(args.files)
    check_installed()
    if args.visit:
        from vesselseg_web.visit_server import serve_visit

        serve_visit(args.files, args.visit, lambda port: reporter.result({"port": port}))
        return 0
    from vesselseg_web.hosting.server import serve
    from vesselseg_web.workspace.beginnings import check_beginning

    check_beginning(args.files)

    def ready(address: str) -> None:
        reporter.result({"address": address}, f"Open {address} in a browser; Ctrl-C ends the server.")
        if args.open:
            import webbrowser

            webbrowser.open(address)

    serve(
        args.files,
        host=args.host,
        port=args.port,
        token=args.token,
        visitors=args.visitors,
        idle_minutes=args.idle_minutes,
        ready=ready,
    )
    return 0


def check_installed() -> None:
    """Raise a `VesselSegError` where the packages of the page are missing."""
    from vesselseg.errors import VesselSegError

    if importlib.util.find_spec("slicer") is None or importlib.util.find_spec("trame_slicer") is None:
        raise VesselSegError(
            "the browser page needs packages that are not installed", 'install them: pip install "vesselseg[mrml]"'
        )


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError("a port is 0 to 65535")
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 1000:
        raise argparse.ArgumentTypeError("a number of visitors is 1 to 1000")
    return value


def _minutes(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError("minutes are more than 0")
    return value
