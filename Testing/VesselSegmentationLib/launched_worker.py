"""Starts the pretended worker as PythonSlicer starts Python: as its child, whose crash it tells and ends with 1.

So does CTK's AppLauncher, which PythonSlicer is a copy of (ctkAppLauncher.cpp, ``runProcess``).
"""

import subprocess
import sys
from pathlib import Path

_WORKER = Path(__file__).with_name("pretended_worker.py")

status = subprocess.run([sys.executable, _WORKER, *sys.argv[1:]]).returncode
if status < 0:
    print("error: [/opt/Slicer/bin/./python-real] exit abnormally - Report the problem.", file=sys.stderr)
    status = 1
sys.exit(status)
