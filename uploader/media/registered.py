"""Registered codec numbers of Microsoft's formats (WAVE, AVI, ASF); knows no container.

Source: the `WAVE_FORMAT_*` tags of mmreg.h and the four-character codes of video for Windows.
"""

from __future__ import annotations

_SOUND = {
    0x0002: "adpcm_ms",
    0x0006: "pcm_alaw",
    0x0007: "pcm_mulaw",
    0x000A: "wmavoice",
    0x0011: "adpcm_ima_wav",
    0x0017: "adpcm_oki",
    0x0022: "truespeech",
    0x0031: "gsm_ms",
    0x0042: "g723_1",
    0x0045: "adpcm_g726",
    0x0050: "mp2",
    0x0055: "mp3",
    0x0064: "adpcm_g726",
    0x0083: "g729",
    0x00FF: "aac",
    0x0160: "wmav1",
    0x0161: "wmav2",
    0x0162: "wmapro",
    0x0163: "wmalossless",
    0x028F: "adpcm_g722",
    0xA109: "speex",
}
_PCM = {1: "pcm_u8", 2: "pcm_s16le", 3: "pcm_s24le", 4: "pcm_s32le"}
_FLOAT = {4: "pcm_f32le", 8: "pcm_f64le"}
_PICTURE = {
    b"H264": "h264",
    b"AVC1": "h264",
    b"FMP4": "mpeg4",
    b"MP4V": "mpeg4",
    b"XVID": "mpeg4",
    b"DIVX": "mpeg4",
    b"DX50": "mpeg4",
    b"MJPG": "mjpeg",
    b"WMV1": "wmv1",
    b"WMV2": "wmv2",
    b"WMV3": "wmv3",
    b"WVC1": "vc1",
}


def sound_codec(tag: int, bits: int) -> str | None:
    """Return the name of a format tag; `bits` a sample tell the kinds of PCM apart. None when not known."""
    if tag == 0x0001:
        return _PCM.get(-(-bits // 8))
    if tag == 0x0003:
        return _FLOAT.get(bits // 8)
    return _SOUND.get(tag)


def picture_codec(code: bytes) -> str | None:
    """Return the name of a four-character code; None when not known."""
    return _PICTURE.get(code.upper())


def joined(sound: str | None, picture: str | None) -> str | None:
    """Return the codecs of a recording as one name, `sound+picture`."""
    return "+".join(name for name in (sound, picture) if name is not None) or None
