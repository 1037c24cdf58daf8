"""The scripts that the page needs beside those of trame."""

from __future__ import annotations

from pathlib import Path

import vesselseg

_BASE = f"vesselseg_{vesselseg.__version__}"
#: As trame's `enable_module` asks for.
serve = {_BASE: str(Path(__file__).with_name("serve"))}
scripts = [f"{_BASE}/{name}.js" for name in ("upload", "shortcuts", "connection", "closing")]
