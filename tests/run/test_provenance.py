"""The commit that a result names."""

import shutil
import subprocess

import pytest

from lkgrag.run import provenance

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.mark.slow
def test_commit_is_of_a_tracked_file_and_says_whether_others_differ(tmp_path, monkeypatch):
    def git(*words):
        who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        return subprocess.run(
            ("git", "-C", str(tmp_path), *who, *words), check=True, capture_output=True, text=True
        ).stdout.strip()

    found = provenance.commit.__wrapped__
    package = tmp_path / "pkg"
    package.mkdir()
    module, other = package / "__init__.py", package / "other.py"
    (package / "run").mkdir()
    module.write_text("")
    other.write_text("")
    monkeypatch.setattr(provenance, "__file__", str(package / "run" / "provenance.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert found() is None  # no repository
    git("init", "-q")
    git("add", "pkg/other.py")
    git("commit", "-qm", "other")
    assert found() is None  # a repository that does not hold the module
    git("add", "pkg/__init__.py")
    git("commit", "-qm", "module")
    assert found() == git("rev-parse", "HEAD")[:12]
    other.write_text("x = 1\n")
    assert found() == git("rev-parse", "HEAD")[:12] + "+"
    monkeypatch.setenv("PATH", "")
    assert found() is None  # no git
