"""What is published: metadata, README on a package index, the image, the workflows of a forge."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

import lkgrag

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
README = (ROOT / "README.md").read_text(encoding="utf-8")
WORKFLOWS = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))
}


def requirements():
    """Every requirement of the project, its extras among them."""
    extras = PROJECT["optional-dependencies"].values()
    return [
        Requirement(x) for x in [*PROJECT["dependencies"], *(r for extra in extras for r in extra)]
    ]


@pytest.mark.slow
@pytest.mark.skipif(
    Path(lkgrag.__file__).parents[1] != ROOT, reason="lkgrag is installed from elsewhere"
)
def test_a_checkout_in_the_current_folder_is_not_taken_for_the_package(tmp_path):
    """People start Python beside their clone, where the clone looks like a package without code."""
    (tmp_path / "lkgrag").symlink_to(ROOT)
    code = "import lkgrag; print(lkgrag.Ranker.__name__)"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.stdout == "Ranker\n", done.stderr


def test_every_requirement_has_a_lowest_version_and_a_pin():
    pins = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            name, pin = line.split("==")
            pins[name.lower()] = Version(pin)
    for requirement in requirements():
        bounds = [s for s in requirement.specifier if s.operator == ">="]
        assert len(bounds) == 1, requirement
        assert pins[requirement.name.lower()] in requirement.specifier, requirement


def test_the_version_is_written_once():
    assert "version" in PROJECT["dynamic"]
    assert PYPROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "lkgrag.__version__"}
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"]
    assert cited == lkgrag.__version__


def test_pythons_of_metadata_workflow_and_tools_agree():
    pythons = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if re.search(r":: 3\.\d", c)]
    assert PROJECT["requires-python"] == f">={pythons[0]}"
    assert PYPROJECT["tool"]["mypy"]["python_version"] == pythons[0]
    jobs = WORKFLOWS["ci"]["jobs"]
    for name in ("tests", "wheel"):
        assert jobs[name]["strategy"]["matrix"]["python"] == pythons


def description(text, source):
    spec = importlib.util.spec_from_file_location("lkgrag_setup", ROOT / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.description(text, source)


def targets(text):
    return re.findall(r"\]\(([^)]*)\)", text)


def test_readme_on_an_index_has_no_link_that_needs_its_folder():
    plain = description(README, "")
    assert targets(plain)
    assert all(target.startswith("https://") for target in targets(plain))
    assert "![" not in plain
    assert "<!--" not in plain
    # Only links change, and comments go.
    assert plain.count("\n```") == README.count("\n```")
    assert "- Tutorial: from an empty folder" in plain


def test_with_an_address_of_the_source_links_are_absolute():
    linked = description(README, "https://forge.example/o/lkgrag/")
    assert len(targets(linked)) == len(targets(README))
    assert "(https://forge.example/o/lkgrag/blob/main/docs/tutorial.md)" in linked
    assert "](https://forge.example/o/lkgrag/raw/main/docs/_static/ranking.svg)" in linked
    assert "[a](#b) [c](https://d)" in description("[a](#b) [c](https://d)", "https://e")


@pytest.mark.parametrize("name", ["ci", "release"])
def test_workflows_have_least_permissions_and_pinned_actions(name):
    workflow = WORKFLOWS[name]
    assert workflow["permissions"] == {"contents": "read"}
    # YAML 1.1 reads the key `on` as true.
    assert workflow[True]
    for job in workflow["jobs"].values():
        assert job["runs-on"] == "ubuntu-latest"
        assert job["timeout-minutes"] <= 60
        assert set(job.get("permissions", {})) <= {"id-token"}
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            if "uses" in step:
                assert re.fullmatch(r"[\w-]+/[\w-]+@(v\d+|release/v\d+)", step["uses"])
            if step.get("uses", "").startswith("actions/checkout"):
                assert step["with"]["persist-credentials"] is False
            # A value that others write, such as the title of a request, is no part of a script.
            assert "github.event" not in step.get("run", "")


def test_only_a_tag_publishes_what_was_built_and_checked():
    release = WORKFLOWS["release"]
    assert release[True] == {"push": {"tags": ["v*"]}}
    build, publish = release["jobs"]["build"], release["jobs"]["publish"]
    assert publish["needs"] == "build"
    assert publish["permissions"] == {"id-token": "write"}
    assert "permissions" not in build
    runs = " ".join(step.get("run", "") for step in build["steps"])
    assert "python -m build" in runs
    assert "twine check --strict" in runs


def test_scripts_of_workflows_are_there():
    for workflow in WORKFLOWS.values():
        for job in workflow["jobs"].values():
            for step in job["steps"]:
                for script in re.findall(r"\.ci/\w+", step.get("run", "")):
                    assert (ROOT / script).stat().st_mode & 0o100, script


def instructions():
    """The instructions of the Dockerfile: name and the rest, without line breaks."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [tuple(line.split(None, 1)) for line in lines]


def test_the_image_runs_the_main_job_as_a_user_without_rights():
    found = instructions()
    assert found[0][0] == "FROM"
    assert re.fullmatch(r"python:3\.1[1-3]-slim", found[0][1])
    python = found[0][1].removeprefix("python:").removesuffix("-slim")
    assert any(f"SITE=/usr/local/lib/python{python}/site-packages" in rest for _, rest in found)
    assert found[-2:] == [("ENTRYPOINT", '["lkgrag"]'), ("CMD", '["train"]')]
    users = [rest for name, rest in found if name == "USER"]
    assert users == ["lkgrag"]
    assert any(
        rest == "TORCH_INDEX=https://download.pytorch.org/whl/cpu"
        for name, rest in found
        if name == "ARG"
    )


def test_code_is_copied_after_its_dependencies():
    names = [f"{name} {rest}" for name, rest in instructions()]
    code = names.index("COPY lkgrag lkgrag")
    packages = next(n for n, line in enumerate(names) if "--requirement" in line)
    assert packages < code
    assert "--no-deps" in names[code + 1]


def test_the_image_gets_every_file_that_it_copies_and_no_other():
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    copied = {f for n, rest in instructions() if n == "COPY" for f in rest.split()[:-1]}
    assert copied == kept
    assert all((ROOT / name).exists() for name in copied)


@pytest.mark.slow
def test_the_sdist_and_its_wheel_hold_what_belongs_in_them(tmp_path):
    """The wheel is built from the sdist, as an index's users would build it."""
    kept = ("lkgrag", ".github", "tests")
    for path in ROOT.iterdir():
        if path.is_file() or path.name in kept:
            (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / path.name)
    # Without another environment, which would need the network.
    build = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--outdir",
        tmp_path / "dist",
        tmp_path,
    ]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,), (sdist,) = (tmp_path / "dist").glob("*.whl"), (tmp_path / "dist").glob("*.tar.gz")
    source = {
        str(p.relative_to(ROOT))
        for p in (ROOT / "lkgrag").rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (about,) = [name for name in names if name.endswith("dist-info/METADATA")]
        text = archive.read(about).decode()
        (entry,) = [name for name in names if name.endswith("entry_points.txt")]
        assert "lkgrag = lkgrag.cli.console:main" in archive.read(entry).decode()
    assert {name for name in names if ".dist-info/" not in name} == source
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert f"\nVersion: {lkgrag.__version__}\n" in text
    assert "\nDescription-Content-Type: text/markdown\n" in text
    assert "\n## Your own data\n" in text
    with tarfile.open(sdist) as archive:
        files = {name.partition("/")[2] for name in archive.getnames() if "egg-info" not in name}
    assert source <= files
    assert {
        "LICENSE",
        "README.md",
        "setup.py",
        "pyproject.toml",
        "constraints.txt",
        "CHANGELOG.md",
    } <= files
    assert not [name for name in files if name.startswith(("tests", "benchmarks", "docs"))]


def test_the_installed_version_is_that_of_the_package():
    try:
        found = metadata.distribution("lkgrag")
    except metadata.PackageNotFoundError:
        pytest.skip("lkgrag is not installed")
    assert found.version == lkgrag.__version__
