"""Lets worker processes import what the jobs of these tests do."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # manners has to have a name that a process can import
