"""When scripts are forked, when not, and how the user decides."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from harness import IS_FORKED, Workflow

from snakemake_executor_plugin_warm.internals import plain_script

SNAKEFILE = """
rule job:
    output: "out.json"
    script: "job.py"
"""

REPORT = f"""
import json, os, sys
facts = {{"forked": {IS_FORKED}, "numpy": "numpy" in sys.modules}}
from library import VALUE
facts["value"] = VALUE
facts["environment"] = dict(os.environ)
with open(snakemake.output[0], "w") as file:
    json.dump(facts, file)
"""

PATCH = "from snakemake_executor_plugin_warm import internals\n"


@pytest.fixture
def workflow(folder: Path) -> Workflow:
    return Workflow(folder, {"Snakefile": SNAKEFILE, "job.py": REPORT, "library.py": "VALUE = 1"})


def test_the_default_profile_of_a_workflow(workflow: Workflow) -> None:
    """It decides, the command line overrides it, and an edited module is seen by the next run."""
    workflow.write(
        "profiles/default/profile.yaml",
        """
        executor: warm
        warm-preload:
          - numpy
          - json.tool
        quiet: [host]
    """,
    )
    command = [sys.executable, "-m", "snakemake", "--cores", "1"]
    for value, options, expected in (
        (1, (), (True, True)),
        (22, (), (True, True)),
        (333, ("--executor", "local"), (False, False)),
    ):
        workflow.write("library.py", f"VALUE = {value}")
        subprocess.run(
            [*command, "--forceall", *options],
            cwd=workflow.folder,
            check=True,
            env=workflow.environment(),
            capture_output=True,
        )
        facts = json.loads((workflow.folder / "out.json").read_text())
        assert (facts["forked"], facts["numpy"]) == expected
        assert facts["value"] == value


@pytest.mark.parametrize(
    ("patch", "sentence"),
    [
        (
            "internals.KNOWN_VERSIONS = ('8.0.0',)",
            r"The warm executor knows Snakemake 8\.0\.0, and this is [\d.]+\. ",
        ),
        (
            "import sys, types; internals.sys = types.SimpleNamespace(platform='darwin')",
            r"The warm executor forks on Linux only, and this is darwin\. ",
        ),
    ],
    ids=["version", "platform"],
)
def test_what_it_does_not_know_runs_as_local_with_a_warning(
    workflow: Workflow, patch: str, sentence: str
) -> None:
    result = workflow.run(program=PATCH + patch)
    assert result.status == 0, result.messages
    assert len(re.findall(sentence + "Jobs run as with --executor local", result.messages)) == 1
    assert not json.loads(result.read("out.json"))["forked"]


COUNT_ZYGOTES = """
onstart:
    import time
    from pathlib import Path
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    time.sleep(0.2)  # a new process has no command line yet
    programs = [Path(f"/proc/{child}/cmdline").read_bytes() for child in children]
    print("zygotes:", sum(b"zygote.py" in program for program in programs))
"""

FORBID_ZYGOTE = """
from snakemake_executor_plugin_warm import nursery
def forbidden(*_, **__):
    print("a zygote starts")
nursery.Zygote = forbidden
"""


def test_the_zygote_starts_as_soon_as_there_are_jobs(workflow: Workflow) -> None:
    """It imports while Snakemake prepares the first of them."""
    workflow.write("Snakefile", SNAKEFILE + COUNT_ZYGOTES)
    result = workflow.run()
    assert "zygotes: 1" in result.messages + result.printed


TELL_OF_ZYGOTES = """
from snakemake_executor_plugin_warm import nursery
class Told(nursery.Zygote):
    def __init__(self, *arguments):
        print("a zygote starts")
        super().__init__(*arguments)
nursery.Zygote = Told
"""


@pytest.mark.parametrize("options", [(), ("--directory", "elsewhere"), ("-d", "elsewhere")])
def test_in_a_new_folder_it_imports_while_snakemake_plans(
    workflow: Workflow, options: tuple[str, ...]
) -> None:
    shutil.copytree(workflow.folder, workflow.folder / "elsewhere")
    workflow.write("Snakefile", "print('the plan begins')\n" + SNAKEFILE)
    assert workflow.run("--dry-run", *options).status == 0
    began = re.compile("a zygote starts.*the plan begins", re.DOTALL)
    assert began.search(workflow.run(*options, program=TELL_OF_ZYGOTES).printed)
    again = workflow.run("--forceall", *options, program=TELL_OF_ZYGOTES).printed
    assert not began.search(again)
    assert "a zygote starts" in again


EXPECTING = """
from snakemake_executor_plugin_warm import expect_jobs
expect_jobs()
expect_jobs()
print("the plan goes on")
"""


def test_it_imports_as_soon_as_the_workflow_expects_jobs(workflow: Workflow) -> None:
    """Once, and where a run was asked for with this executor."""
    assert workflow.run().status == 0
    workflow.write("Snakefile", EXPECTING + SNAKEFILE)
    again = workflow.run("--forceall", program=TELL_OF_ZYGOTES)
    assert again.status == 0, again.messages
    assert again.printed.count("a zygote starts") == 1
    assert again.printed.index("a zygote starts") < again.printed.index("the plan goes on")
    for options in (("--forceall", "--dry-run"), ("--forceall", "--executor", "local")):
        other = workflow.run(*options, program=TELL_OF_ZYGOTES)
        assert other.status == 0, other.messages
        assert "a zygote starts" not in other.printed


@pytest.mark.parametrize("options", [(), ("--dry-run",), ("-nF",), ("--list-rules",)])
def test_no_zygote_starts_without_a_job(workflow: Workflow, options: tuple[str, ...]) -> None:
    assert workflow.run().status == 0
    result = workflow.run(*options, program=FORBID_ZYGOTE)
    assert result.status == 0, result.messages
    assert "a zygote starts" not in result.messages + result.printed
    assert "a zygote starts" in workflow.run("--forceall", program=FORBID_ZYGOTE).printed


def test_variables_for_the_zygote_are_no_business_of_its_scripts(workflow: Workflow) -> None:
    """A module that is preloaded finds them, a script does not."""
    workflow.write("witness.py", "import os\nFOUND = os.environ.get('ONLY_FOR_ZYGOTE')")
    script = "import witness; assert witness.FOUND == 'a=b'\n" + REPORT
    workflow.write("job.py", script)
    options = ("--warm-preload", "witness", "--warm-environment", "ONLY_FOR_ZYGOTE=a=b")
    result = workflow.run(*options, variables={"PYTHONPATH": str(workflow.folder)})
    assert result.status == 0, result.messages
    facts = json.loads(result.read("out.json"))
    assert facts["forked"]
    assert "ONLY_FOR_ZYGOTE" not in facts["environment"]


THREADS = """
rule all:
    input: expand("{n}.json", n=[1, 2])

rule job:
    output: "{n}.json"
    threads: lambda wildcards: int(wildcards.n)
    script: "threads.py"
"""

REPORT_THREADS = """
import json, os
facts = {"parent": os.getppid(), "limit": os.environ["OMP_NUM_THREADS"]}
with open(snakemake.output[0], "w") as file:
    json.dump(facts, file)
"""


@pytest.mark.parametrize(("options", "n_zygotes"), [((), 2), (("--warm-share",), 1)])
def test_scripts_of_any_number_of_threads_may_share_a_zygote(
    folder: Path, options: tuple[str, ...], n_zygotes: int
) -> None:
    workflow = Workflow(folder, {"Snakefile": THREADS, "threads.py": REPORT_THREADS})
    result = workflow.run(*options)
    assert result.status == 0, result.messages
    facts = [json.loads(result.read(f"{n}.json")) for n in (1, 2)]
    assert [fact["limit"] for fact in facts] == ["1", "2"]
    assert len({fact["parent"] for fact in facts}) == n_zygotes


@pytest.mark.parametrize(
    ("directive", "options", "variables", "expected"),
    [
        (
            "envmodules: 'astro'",
            ("--sdm", "env-modules"),
            {"BASH_FUNC_module%%": "() { if [ $1 = load ]; then export LOADED=$2; fi; }"},
            {"LOADED": "astro"},
        ),
        ("", (), {"BASH_ENV": "{folder}/start.sh"}, {"STARTED": "1"}),
        ("", ("--config", "prefix=1"), {}, {"PREFIXED": "1"}),
        (
            "container: 'image.sif'",
            ("--sdm", "apptainer"),
            {"PATH": "{folder}/bin:{path}"},
            {"CONTAINED": "1"},
        ),
    ],
    ids=["modules", "shell start-up file", "shell prefix", "container"],
)
def test_what_changes_the_environment_of_a_script_makes_it_a_plain_process(
    workflow: Workflow,
    directive: str,
    options: tuple[str, ...],
    variables: dict[str, str],
    expected: dict[str, str],
) -> None:
    workflow.write(
        "Snakefile",
        f"""
        if "prefix" in config:
            shell.prefix("export PREFIXED=1; ")

        rule job:
            output: "out.json"
            {directive}
            script: "job.py"
    """,
    )
    workflow.write("start.sh", "export STARTED=1")
    workflow.write("image.sif", "")
    # Enough of an apptainer: it drops its options and runs the command here.
    workflow.write(
        "bin/apptainer",
        f"""\
        #!/bin/bash
        if [ "$1" = --version ]; then echo "apptainer version 1.3.4"; exit; fi
        shift
        while [ "$1" != image.sif ] && [[ "$1" != */image.sif ]]; do shift; done
        shift
        export CONTAINED=1 PATH={Path(sys.executable).parent}:$PATH
        exec "$@"
    """,
    )
    (workflow.folder / "bin/apptainer").chmod(0o755)
    variables = {
        name: value.replace("{folder}", str(workflow.folder)).replace("{path}", os.environ["PATH"])
        for name, value in variables.items()
    }
    result = workflow.run(*options, variables=variables)
    assert result.status == 0, result.messages
    facts = json.loads(result.read("out.json"))
    assert not facts["forked"]
    assert expected.items() <= facts["environment"].items()


@pytest.mark.parametrize(
    ("command", "script"),
    [
        ("set -euo pipefail;  {python} '/a b/c.py'", "/a b/c.py"),
        ("{python} /a/c.py", "/a/c.py"),
        ("set -euo pipefail;  source /conda/bin/activate '/env'; python /a/c.py", None),
        ("set -euo pipefail;  python /a/c.py", None),
        ("set -euo pipefail;  {python} /a/c.py ; cleanup", None),
        ("set -euo pipefail;  {python} -c 'import json'", None),
        ("set -euo pipefail;  {python} /a/c.txt", None),
        ("set -euo pipefail;  apptainer exec image bash -c 'python /a/c.py'", None),
    ],
)
def test_only_a_bare_script_is_recognized(command: str, script: str | None) -> None:
    options = {"executable": "/bin/bash", "env": {}}
    assert plain_script(command.format(python=sys.executable), options) == script
    assert plain_script(command, options | {"executable": "/bin/zsh"}) is None


LIMITED = """
rule all:
    input: expand("{n}.txt", n=range(6))

rule one:
    output: "{n}.txt"
    script: "one.py"

onsuccess:
    print("limited:", workflow.scheduler.job_rate_limiter is not None)
"""


@pytest.mark.parametrize(
    ("options", "limited"), [((), "False"), (("--max-jobs-per-timespan", "90/1s"), "True")]
)
def test_only_a_rate_limit_that_was_asked_for_holds(
    folder: Path, options: tuple[str, ...], limited: str
) -> None:
    """Snakemake's default is for clusters and costs more than the jobs."""
    script = 'with open(snakemake.output[0], "w") as file:\n    file.write("done")\n'
    workflow = Workflow(folder, {"Snakefile": LIMITED, "one.py": script})
    result = workflow.run(*options)
    assert result.status == 0, result.messages
    assert f"limited: {limited}" in result.messages + result.printed
