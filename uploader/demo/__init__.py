"""Recordings for the demonstration: data, and where it lies; knows nothing of what is done with it.

The speech is synthetic: espeak-ng spoke made-up sentences in several voices, sox put the two parties
of each call together, and ffmpeg and sox encoded them without any metadata. Nobody's voice is heard
in them. They are part of this project and come under its licence (Apache-2.0). Numbers are of ranges
that are reserved for fiction, addresses of example.com; names are invented.

`demo.json` has one entry a file that the demonstration drops: which `recording` and `sidecar` of
`recordings/` (null: none), the `name` and `sidecar_name` to drop them under, the `intended` final
state, and in `about` what is special. `abonnement.wav` is cut in half on purpose, and the sidecar of
`novo-endereco.mp3` is wrong on purpose.
"""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable


def recordings() -> Traversable:
    """Return the folder with the recordings and their sidecars."""
    return files(__name__) / "recordings"


def manifest() -> Traversable:
    """Return `demo.json`, which says what is dropped and what should become of it."""
    return files(__name__) / "demo.json"
