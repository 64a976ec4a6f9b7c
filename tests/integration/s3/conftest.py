"""The S3 servers of tests/s3_server.py, and our bucket on one of them."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from uploader.platform.clock import SystemClock
from uploader.platform.s3 import Bucket, S3Access


@pytest.fixture(params=["s3_http", "s3_https"])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """Each of the real server's two faces."""
    found = request.getfixturevalue(request.param)
    found.trust(monkeypatch)
    return found


@pytest.fixture
def make_bucket(monkeypatch: pytest.MonkeyPatch):
    """Make our `Bucket` on a server, as one of its identities; closed at the end.

    Without a `name` it is emptied first, and the same for all who give none.
    """
    with ExitStack() as opened:

        def make(server, *, keys=None, name=None, prefix="", clock=None, **options) -> Bucket:
            (keys or server.admin).use(monkeypatch)
            access = S3Access(bucket=name or server.empty_bucket(), prefix=prefix, endpoint_url=server.endpoint_url)
            bucket = Bucket(access, clock=clock or SystemClock(), **options)
            opened.callback(bucket.close)
            return bucket

        yield make
