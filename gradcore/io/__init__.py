"""Files that survive: written whole or not at all, checked when read. Models are in the safetensors format."""

from gradcore.io.atomic import ensure_writable, remove_temporaries, write_atomically, write_jsonl
from gradcore.io.jsontext import parse_json, read_json
from gradcore.io.tensors import Layout, load_tensors, save_tensors

__all__ = [
    "Layout",
    "ensure_writable",
    "load_tensors",
    "parse_json",
    "read_json",
    "remove_temporaries",
    "save_tensors",
    "write_atomically",
    "write_jsonl",
]
