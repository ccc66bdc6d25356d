"""Saving: by suffix, whole or not at all, one clear message for what can't be done."""

import os

import pytest

import bptt
from bptt.derive import Error
from bptt.reports import save

DERIVATION = bptt.derive(bptt.load("rnn"))
STARTS = {
    ".pdf": b"%PDF",
    ".typ": b"#set document",
    ".tex": b"\\documentclass",
    ".html": b"<!DOCTYPE html>",
    ".md": b"# ",
}


@pytest.mark.parametrize("suffix", STARTS)
def test_suffix_decides(suffix, tmp_path):
    path = save(DERIVATION, tmp_path / f"page{suffix}")
    content = path.read_bytes()
    assert content.startswith(STARTS[suffix])
    assert save(DERIVATION, path).read_bytes() == content
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("page.docx", "unknown kind of document '.docx'. Known: .pdf .typ .tex .html .md"),
        ("page", "unknown kind of document ''"),
        ("missing/page.pdf", "the folder '.*missing' does not exist"),
        ("folder.pdf", "this is a folder"),
    ],
)
def test_refused(name, message, tmp_path):
    (tmp_path / "folder.pdf").mkdir()
    with pytest.raises(Error, match=message):
        save(DERIVATION, tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_that_cannot_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(Error, match="can't be written"):
        save(DERIVATION, tmp_path / "page.md")


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "page.md"
    path.write_text("before")

    def refuse(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(Error, match="page.md: can't be written: no space left on device"):
        save(DERIVATION, path)
    assert path.read_text() == "before" and len(list(tmp_path.iterdir())) == 1


def test_what_is_not_a_document(tmp_path):
    with pytest.raises(Error, match="int can't be saved as a document"):
        save(3, tmp_path / "page.md")
