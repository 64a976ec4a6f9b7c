"""Folders, and a way to lose the rights to read them also where the tests run as root."""

from __future__ import annotations

import contextlib
import ctypes
import os

import pytest

from tests.conftest import missing

_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2
_VERSION_3 = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


@contextlib.contextmanager
def bound_by_modes():
    """Let the modes of files hold for this thread, as they do for anyone but root."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, data = _Header(_VERSION_3, 0), (_Data * 2)()
    if libc.capget(ctypes.byref(header), ctypes.byref(data)):
        missing("capabilities cannot be read")
    before = data[0].effective
    data[0].effective = before & ~(1 << _CAP_DAC_OVERRIDE | 1 << _CAP_DAC_READ_SEARCH)
    assert not libc.capset(ctypes.byref(header), ctypes.byref(data))
    try:
        yield
    finally:
        data[0].effective = before
        assert not libc.capset(ctypes.byref(header), ctypes.byref(data))


@pytest.fixture
def modes():
    return bound_by_modes
