"""What the engine's tests share: topics of their own on the real stack, and worker processes of the counting agent."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
