"""Files that refer to other files, each with the name of a song.

``{private}`` stands for the path of a recording that must not be opened, ``{port}`` for the port
of a server that must not be contacted.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.audio_files import ffmpeg, tones, write_audio


class Row(NamedTuple):
    """A malicious file.

    Attributes:
        name: the name of the file.
        content: text or bytes, or a function of path and private recording that writes the file.
        frames: length of its own audio; 0 if it must be refused.
    """

    name: str
    content: str | bytes | Callable[[Path, Path], None]
    frames: int = 0


HLS = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n"
PART, END = "#EXTINF:2.0,\n", "#EXT-X-ENDLIST\n"
SDP = (
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a song\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=audio {port} RTP/AVP 0\na=rtpmap:0 PCMU/8000\n"
)
MPD = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="{kind}"'
    ' mediaPresentationDuration="PT2S" minBufferTime="PT1S" profiles='
    '"urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet mimeType="audio/mp4">'
    '<Representation id="1" bandwidth="128000" codecs="mp4a.40.2"><BaseURL>{place}</BaseURL>'
    '<SegmentBase indexRange="0-10"/></Representation></AdaptationSet></Period></MPD>'
)
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="9"'
    ' height="9"><image width="9" height="9" xlink:href="{private}"/></svg>'
)


def box(name: bytes, *parts: bytes) -> bytes:
    """A box of an MP4: size, name and content (ISO/IEC 14496-12, 4.2)."""
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), name) + body


def reference_movie(path: Path, private: Path) -> None:
    """A movie that consists of an address (QuickTime File Format, "Reference movies")."""
    url = b"file:" + str(private).encode() + b"\0"
    target = box(b"rdrf", struct.pack(">I4sI", 0, b"url ", len(url)), url)
    path.write_bytes(
        box(b"ftyp", b"qt  ", bytes(4), b"qt  ") + box(b"moov", box(b"rmra", box(b"rmda", target)))
    )


def by_url(private: Path) -> bytes:
    """A data reference to another file (ISO/IEC 14496-12, 8.7.2)."""
    return box(b"url ", bytes(4), b"file:" + bytes(private) + b"\0")


def by_alias(private: Path) -> bytes:
    """An alias record: names of volume and file, levels up and down, absolute path."""
    volume, name = bytes(28), bytes([len(private.name)]) + private.name.encode().ljust(63, b"\0")
    path = bytes(private)
    record = bytes(10) + volume + bytes(12) + name + bytes(16) + struct.pack(">HH", 1, 1)
    absolute = struct.pack(">HH", 2, len(path)) + path + bytes(len(path) % 2)
    return box(b"alis", bytes(4), record, bytes(16), absolute, b"\xff\xff\0\0")


def external_data(reference: Callable[[Path], bytes]) -> Callable[[Path, Path], None]:
    """A QuickTime film whose audio is declared to be in another file."""

    def write(path: Path, private: Path) -> None:
        plain = path.with_name("plain.mov")
        sound = ("-f", "f32le", "-ar", 44100, "-ac", 2, "-i", "-")
        ffmpeg(*sound, "-c:a", "pcm_s16le", plain, sound=tones(4410))
        data = plain.read_bytes()
        plain.unlink()
        at = data.rindex(b"dref") - 4
        size = struct.unpack_from(">I", data, at)[0]
        new = box(b"dref", struct.pack(">II", 0, 1), reference(private))
        path.write_bytes(_grown(data[:at], len(new) - size) + new + data[at + size :])

    return write


def _grown(head: bytes, more: int) -> bytes:
    """Enlarge the boxes still open at the end of ``head`` by ``more`` bytes."""
    data = bytearray(head)
    for name in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
        at = data.rindex(name) - 4
        struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] + more)
    return bytes(data)


def element(number: int, body: bytes) -> bytes:
    """An element of Matroska: id, size in eight bytes, and content (RFC 8794)."""
    head = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return head + (len(body) | 1 << 56).to_bytes(8, "big") + body


def linked_segment(path: Path, private: Path) -> None:
    """A Matroska file of 4410 samples that names the next file (RFC 9559, 17.2)."""
    sound = (tones(4410, channels=1) * 32767).astype("<i2").tobytes()
    header = element(0x1A45DFA3, element(0x4282, b"matroska") + element(0x4287, b"\4"))
    link = element(0x3E83BB, str(private).encode()) + element(0x3EB923, bytes(range(16)))
    rate = element(0xE1, element(0xB5, struct.pack(">d", 44100)) + element(0x6264, b"\20"))
    entry = element(0xD7, b"\1") + element(0x73C5, b"\1") + element(0x83, b"\2")
    track = element(0xAE, entry + element(0x86, b"A_PCM/INT/LIT") + rate)
    block = element(0xA3, b"\x81\0\0\x80" + sound)
    cluster = element(0x1F43B675, element(0xE7, b"\0") + block)
    segment = element(0x1549A966, link) + element(0x1654AE6B, track) + cluster
    path.write_bytes(header + element(0x18538067, segment))


def plain_song(path: Path, private: Path) -> None:
    """Write a WAV file under any name."""
    write_audio(path.with_name("plain.wav"), tones(4410)).rename(path)


ROWS = {
    "hls": Row("song.m3u8", HLS + PART + "private.mp3\n" + END),
    "hls named mp3": Row("song.mp3", HLS + PART + "private.mp3\n" + END),
    "hls named wav": Row("song.wav", HLS + PART + "{private}\n" + END),
    "hls without end": Row("song.m4a", HLS + PART + "private.ts\n"),
    "hls without any part": Row("empty.m4a", HLS),
    "hls with a mark": Row("mark.mp3", "\ufeff" + HLS + PART + "private.mp3\n" + END),
    "hls of file:": Row("file.flac", HLS + PART + "file:{private}\n" + END),
    "hls of file://": Row("url.flac", HLS + PART + "file://{private}\n" + END),
    "hls of concat:": Row("concat.mp3", HLS + PART + "concat:{private}|{private}\n" + END),
    "hls of subfile": Row("sub.mp3", HLS + PART + "subfile,,start,0,end,0,,:{private}\n" + END),
    "hls of crypto:": Row("crypto.mp3", HLS + PART + "crypto:{private}\n" + END),
    "hls of data:": Row("data.mp3", HLS + PART + "data:audio/mpeg;base64,//uQZAAA\n" + END),
    "hls of http:": Row("http.mp3", HLS + PART + "http://127.0.0.1:{port}/a.ts\n" + END),
    "hls of tcp:": Row("tcp.mp3", HLS + PART + "tcp://127.0.0.1:{port}\n" + END),
    "hls with a key": Row(
        "key.mp3", HLS + '#EXT-X-KEY:METHOD=AES-128,URI="{private}"\n' + PART + "private.ts\n" + END
    ),
    "hls with a map": Row(
        "map.mp4", HLS + '#EXT-X-MAP:URI="{private}"\n' + PART + "private.m4a\n" + END
    ),
    "hls of hls": Row("two.mp3", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nsong.m3u8\n"),
    "hls behind tags": Row(
        "tag.mp3", b"ID3\4\0\0\0\0\0\0" + (HLS + PART).encode() + b"private.mp3"
    ),
    "dash": Row("song.mpd", MPD.replace("{kind}", "static").replace("{place}", "private.m4a")),
    "dash without end": Row(
        "dash.mp4", MPD.replace("{kind}", "dynamic").replace("{place}", "{private}")
    ),
    "dash of http:": Row(
        "dash.m4a",
        MPD.replace("{kind}", "static").replace("{place}", "http://127.0.0.1:{port}/a.mp4"),
    ),
    "ffconcat": Row("song.ffconcat", "ffconcat version 1.0\nfile private.wav\n"),
    "ffconcat named ogg": Row("song.ogg", "ffconcat version 1.0\nfile '{private}'\n"),
    "ffconcat of http:": Row(
        "net.ogg", "ffconcat version 1.0\nfile 'http://127.0.0.1:{port}/a.wav'\n"
    ),
    "concat without its first line": Row("song.txt", "file '{private}'\nfile '{private}'\n"),
    "sdp": Row("song.sdp", SDP),
    "sdp named mp3": Row("sdp.mp3", SDP),
    "rtsp": Row("rtsp.mp3", "RTSPtextrtsp://127.0.0.1:{port}/song\n"),
    "asf of addresses": Row("ref.asf", "[Reference]\nRef1=http://127.0.0.1:{port}/a.asf\n"),
    "asx": Row("song.wma", '<ASX version="3.0"><ENTRY><REF HREF="{private}"/></ENTRY></ASX>'),
    "pls": Row("song.pls", "[playlist]\nNumberOfEntries=1\nFile1={private}\n"),
    "m3u": Row("plain.mp3", "#EXTM3U\n#EXTINF:2,A song\n{private}\n"),
    "cue": Row("cue.flac", 'FILE "{private}" WAVE\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\n'),
    "ram": Row("song.rm", "file://{private}\n"),
    "smil": Row("smil.mp3", '<smil><body><audio src="{private}"/></body></smil>'),
    "svg": Row("svg.mp3", SVG),
    "sequence of pictures": Row("song%03d.png", b"\x89PNG\r\n\x1a\n" + bytes(99)),
    "subtitles": Row("srt.mp3", "1\n00:00:00,000 --> 00:00:02,000\n{private}\n\n" * 9),
    "subtitles with an index": Row(
        "song.idx", "# VobSub index file, v7\ntimestamp: 00:00:00:000, filepos: 000000000\n" * 9
    ),
    "ass": Row(
        "ass.mp3", "[Script Info]\nScriptType: v4.00+\n[Events]\nDialogue: 0,0,1,,,{private}"
    ),
    "sbagen": Row("sbg.mp3", "SE -\nall: pink/100 100+8/50\nNOW all\n"),
    "avisynth": Row("song.avs", 'DirectShowSource("{private}")\n'),
    "a graph of filters": Row("lavfi.wav", "amovie={private}\n"),
    "metadata": Row("meta.mp3", ";FFMETADATA1\ntitle={private}\n"),
    "reference movie": Row("rmra.mov", reference_movie),
    "reference movie named m4a": Row("rmra.m4a", reference_movie),
    "sound elsewhere by url": Row("dref.mov", external_data(by_url), 4410),
    "sound elsewhere by alias": Row("dref.m4a", external_data(by_alias)),
    "linked segments": Row("linked.mkv", linked_segment, 4410),
    "a name with an address": Row("concat:private.wav|private.wav", plain_song, 4410),
    "a name with a protocol": Row("http:song.wav", plain_song, 4410),
    "a name that is an option": Row("-i private.wav.mp3", plain_song, 4410),
    "a name of a sequence": Row("song%d.wav", plain_song, 4410),
    "a name of two lines": Row("one\nfile private.wav\n.wav", plain_song, 4410),
}
