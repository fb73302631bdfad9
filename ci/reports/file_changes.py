"""Other bytes, and another structure, in whole files: the damage that `fuzz_files.py` gives to every reader."""

from __future__ import annotations

import copy
import gzip
import hashlib
import io
import json
import random
import struct
import warnings
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

NUMBERS: list[Any] = [
    None, True, False, -1, 0, 1, 2, 3, 63, 64, 65, 255, 2**16, 2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**63, 2**64, 10**39, 10**400,
    0.5, -0.0, 1e-320, 1e308, float("nan"), float("inf"),
]  # fmt: skip
OTHERS: list[Any] = [
    "", "x", "F32", "I64", "BOOL", "mlp", "cnn", "state", "a" * 5000, "\ud800", "\0", "é", "a:b", [], {}, [[]], [0], [1] * 65, [2**63],
    [2**40, 2**40], [0, 2**62, 2**62], [-1], [1.5], ["1"], {"a": 1}, "@deep list@", "@deep object@", "@huge number@",
]  # fmt: skip
RAW = {
    '"@deep list@"': "[" * 10_000 + "]" * 10_000,
    '"@deep object@"': '{"a":' * 10_000 + "1" + "}" * 10_000,
    '"@huge number@"': "1e999",
}


def change_bytes(rng: random.Random, data: bytes) -> bytes:
    """One to four changes of bytes."""
    found = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        place, size = rng.randrange(len(found) + 1), rng.choice([1, 1, 2, 4, 8, 64])
        match rng.randrange(7):
            case 0 if found:
                found[place % len(found)] ^= 1 << rng.randrange(8)
            case 1:
                found[place : place + size] = rng.randbytes(size)
            case 2:
                del found[place : place + size]
            case 3:
                found[place:place] = rng.randbytes(size)
            case 4:
                del found[place:]
            case 5:
                found[place:place] = found[place : place + size * 8]
            case _:
                found[place : place + 8] = struct.pack(
                    "<Q", rng.choice([0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1])
                )
    return bytes(found)


def change_tree(rng: random.Random, tree: Any) -> Any:
    """One to three changes of a JSON value: a node replaced, removed, doubled or renamed."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.choice([1, 1, 2, 3])):
        holder, key = None, None
        node = tree
        while isinstance(node, dict | list) and node and (holder is None or rng.random() < 0.8):
            holder = node
            key = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
            node = node[key]
        if holder is None:
            return copy.deepcopy(rng.choice(NUMBERS + OTHERS))
        match rng.randrange(6):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[rng.choice(["x", "", "__metadata__", "state", "optimizer.0.sum", "a" * 300])] = (
                    holder.pop(key)
                )
            case 2 if isinstance(holder, list):
                holder.append(copy.deepcopy(rng.choice(holder)))
            case 3 if type(node) is int:
                holder[key] = node + rng.choice([-1, 1, 8, 2**20])
            case _:
                holder[key] = copy.deepcopy(rng.choice(NUMBERS if rng.random() < 0.6 else OTHERS))
    return tree


def as_text(rng: random.Random, tree: Any) -> bytes:
    """JSON, with what `json` does not write: deep nesting, huge numbers, and now and then a name twice."""
    text = json.dumps(tree, separators=(",", ":"))
    for name, raw in RAW.items():
        text = text.replace(name, raw)
    if isinstance(tree, dict) and tree and rng.random() < 0.05:
        text = "{" + text[1:-1] + "," + text[1:]
    return text.encode()


def unpack(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and arrays of a safetensors file."""
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def pack(text: bytes, arrays: bytes) -> bytes:
    """A safetensors file with the right length and, if its header has a place for one, the right checksum."""
    key = b'"gradcore-sha256":"'
    place = text.find(key) + len(key)
    if place >= len(key):
        text = text[:place] + b"0" * 64 + text[place + 64 :]
        checksum = hashlib.sha256(text + arrays).hexdigest().encode()
        text = text[:place] + checksum + text[place + 64 :]
    return struct.pack("<Q", len(text)) + text + arrays


def change_tensors(rng: random.Random, data: bytes) -> bytes:
    """Another header before the same arrays."""
    header, arrays = unpack(data)
    return pack(as_text(rng, change_tree(rng, header)), arrays)


def change_inner(key: str) -> Callable[[random.Random, bytes], bytes]:
    """Another JSON text in the metadata."""

    def change(rng: random.Random, data: bytes) -> bytes:
        header, arrays = unpack(data)
        text = as_text(rng, change_tree(rng, json.loads(header["__metadata__"][key])))
        header["__metadata__"][key] = text.decode("utf-8", "replace")
        return pack(json.dumps(header, separators=(",", ":")).encode(), arrays)

    return change


def change_state(rng: random.Random, data: bytes) -> bytes:
    """Another state in a checkpoint."""
    header, arrays = unpack(data)
    start, stop = header["state"]["data_offsets"]
    text = as_text(rng, change_tree(rng, json.loads(arrays[start:stop])))
    for entry in header.values():
        if "data_offsets" in entry:
            entry["data_offsets"] = [
                n + (len(text) - (stop - start)) * (n >= stop) for n in entry["data_offsets"]
            ]
    header["state"]["shape"] = [len(text)]
    return pack(json.dumps(header, separators=(",", ":")).encode(), arrays[:start] + text + arrays[stop:])


def change_idx(rng: random.Random, data: bytes) -> bytes:
    """Another header of an IDX file, gzipped or plain."""
    gzipped = data[:2] == b"\x1f\x8b"
    found = bytearray(gzip.decompress(data) if gzipped else data)
    ndim = found[3]
    match rng.randrange(4):
        case 0:
            found[2] = rng.choice([8, 9, 0xB, 0xC, 0xD, 0xE, 0, 255])
        case 1:
            found[3] = rng.choice([0, 1, 2, 3, 4, 63, 64, 65, 255])
        case 2 if ndim:
            place = 4 + 4 * rng.randrange(ndim)
            found[place : place + 4] = struct.pack(
                ">I", rng.choice([0, 1, 2, 7, 65_536, 2**28, 2**31, 2**32 - 1])
            )
        case _:
            dims = [rng.choice([0, 1, 2, 2**16, 2**31]) for _ in range(rng.choice([1, 3, 64]))]
            found[3 : 4 + 4 * ndim] = bytes([len(dims)]) + struct.pack(f">{len(dims)}I", *dims)
    if rng.random() < 0.3:
        found += bytes(rng.choice([1, 100, 100_000, 5_000_000]) if rng.random() < 0.05 else 1)
    return gzip.compress(bytes(found), mtime=0) if gzipped else bytes(found)


def change_png(rng: random.Random, data: bytes) -> bytes:
    """Other chunks, with their checksums put right."""
    chunks, place = [], 8
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        chunks.append([data[place + 4 : place + 8], data[place + 8 : place + 8 + length]])
        place += 12 + length
    chunk = rng.choice(chunks)
    match rng.randrange(6):
        case 0:
            chunks.remove(chunk)
        case 1:
            chunks.insert(rng.randrange(len(chunks)), list(chunk))
        case 2:
            chunk[0] = rng.choice(
                [
                    b"PLTE",
                    b"tRNS",
                    b"gAMA",
                    b"iCCP",
                    b"zTXt",
                    b"iTXt",
                    b"tEXt",
                    b"acTL",
                    b"fdAT",
                    b"eXIf",
                    b"pHYs",
                ]
            )
        case 3 if chunk[0] == b"IHDR":
            size = [rng.choice([0, 1, 8, 100, 4000, 2**31 - 1, 2**32 - 1]) for _ in range(2)]
            chunk[1] = struct.pack(">II", *size) + bytes(
                rng.choice([0, 1, 2, 3, 4, 6, 8, 16]) for _ in range(5)
            )
        case 4 if chunk[0] == b"IDAT":
            chunk[1] = zlib.compress(rng.randbytes(rng.choice([0, 10, 72, 1000])))
        case _:
            chunk[1] = change_bytes(rng, chunk[1])
    body = b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )
    return data[:8] + body


def change_config(rng: random.Random, data: bytes) -> bytes:
    """Another configuration of a run."""
    return as_text(rng, change_tree(rng, json.loads(data)))


def change_npz(rng: random.Random, data: bytes) -> bytes:
    """An array's header, size, name or compression changed, in an archive whose checksums are right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    k = rng.randrange(len(members))
    name, content = members[k]
    end = content.index(b"\n") + 1
    header, values = content[10 : end - 1].decode("latin-1"), content[end:]
    match rng.randrange(7):
        case 0:
            header = header.replace(
                rng.choice(list("0123456789(),<f8'{}T")),
                rng.choice(["", "9", "9" * 18, "O", "(", "-1", "None"]),
            )
        case 1:
            kinds = [
                "O",
                "<c16",
                "<M8[ns]",
                "|V8",
                "<U3",
                ">f8",
                "|S0",
                "<f2",
                "<U99999999",
                ",".join(["f8"] * 99),
            ]
            header = header.replace("<f8", rng.choice(kinds))
        case 2:
            shapes = [
                "()",
                "(0,)",
                f"({2**40},)",
                f"({2**62}, {2**62})",
                "(-1,)",
                f"({'1,' * 65})",
                "(1.5,)",
                "('a',)",
                "((1,),)",
            ]
            start, stop = header.index("("), header.index(")") + 1
            header = header[:start] + rng.choice(shapes) + header[stop:]
        case 3:
            values = values[: rng.randrange(len(values) + 1)] + rng.randbytes(rng.choice([0, 0, 1, 64]))
        case 4:
            name = rng.choice(["", "a", "b.npy", "../b.npy", "/b.npy", "c" * 5000, "\0.npy", members[0][0]])
        case 5:
            header = "{" * rng.choice([1, 200, 5000]) + header
        case _:
            values = bytes(rng.choice([2**12, 2**20]))
    text = header.encode("latin-1") + b"\n"
    members[k] = (name, content[:8] + struct.pack("<H", len(text) % 2**16) + text + values)
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of two members of one name
        with zipfile.ZipFile(stream, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
            for name, content in members:
                archive.writestr(zipfile.ZipInfo(name or "x"), content)
    return stream.getvalue()


def change_csv(rng: random.Random, data: bytes) -> bytes:
    """Cells replaced, and lines cut, doubled or made longer, in a table."""
    rows = [line.split(b",") for line in data.split(b"\n")]
    entries = [
        b"",
        b"x",
        b"nan",
        b"inf",
        b"-inf",
        b"1e999",
        b"1" * 5000,
        b'"',
        b'"a\nb"',
        b'"a,b"',
        b"\xff",
        b"\0",
        b"0x10",
        b"1_0",
        "é".encode(),
    ]
    for _ in range(rng.choice([1, 1, 2, 4])):
        row = rng.choice(rows)
        match rng.randrange(5):
            case 0:
                row[rng.randrange(len(row))] = rng.choice(entries)
            case 1:
                row[:] = row[: rng.randrange(len(row) + 1)] or [b""]
            case 2:
                row.extend([rng.choice(entries)] * rng.choice([1, 2, 5000]))
            case 3:
                rows.append(list(row))
            case _:
                rows.insert(rng.randrange(len(rows)), [b""])
    return rng.choice([b"\n", b"\r\n", b"\r"]).join([b",".join(row) for row in rows])


def change_text(rng: random.Random, data: bytes) -> bytes:
    """Marks, ends of line and characters of one to four bytes put in, and what UTF-8 does not allow."""
    pieces = [
        b"\xef\xbb\xbf", b"\r\n", b"\r", b"\0", b"\x1a", "é".encode(), "\u2028".encode(), "😀".encode(), b"\xed\xa0\x80", b"\xc0\x80",
        b"\xf0\x9f", b"\xff\xfe", b"\xf4\x90\x80\x80",
    ]  # fmt: skip
    found = data
    for _ in range(rng.choice([1, 1, 2, 4])):
        place = rng.randrange(len(found) + 1)
        found = found[:place] + rng.choice(pieces) * rng.choice([1, 1, 2, 300_000]) + found[place:]
    return found.decode("utf-8", "replace").encode("utf-16") if rng.random() < 0.05 else found
