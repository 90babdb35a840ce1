"""Whether int8 sums are exact on a processor, and bfloat16 worth its while."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path

import pytest

from sernet_core.engines.processor import bf16_doubt, int8_doubt


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    for found in (int8_doubt, bf16_doubt):
        found.cache_clear()
    yield
    for found in (int8_doubt, bf16_doubt):
        found.cache_clear()


@pytest.mark.parametrize(
    ("machine", "flags", "doubt"),
    [
        ("x86_64", "fpu avx2 avx512f avx512_vnni", ""),
        ("AMD64", "fpu avx2 avx_vnni", ""),
        ("x86_64", "fpu avx2 avx512f", "no VNNI"),
        ("aarch64", "fp asimd", ""),
        ("aarch64", "fp asimd asimddp", ""),
    ],
)
def test_doubt_goes_by_the_flags(
    machine: str, flags: str, doubt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(Path, "read_text", lambda _path: f"flags\t\t: {flags}\n")
    assert doubt in int8_doubt() and bool(int8_doubt()) == bool(doubt)


def test_an_unknown_processor_is_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_path: Path) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(Path, "read_text", missing)
    assert "not known" in int8_doubt() and not bf16_doubt()


@pytest.mark.parametrize(
    ("machine", "flags", "doubt"),
    [
        ("x86_64", "fpu avx512f avx512_bf16", True),
        ("x86_64", "fpu avx512f avx512_bf16 amx_bf16", False),
        ("aarch64", "fp asimd bf16", False),
    ],
)
def test_bfloat16_is_doubted_without_amx(
    machine: str, flags: str, doubt: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(Path, "read_text", lambda _path: f"flags\t\t: {flags}\n")
    assert bool(bf16_doubt()) == doubt
