import os
import time
from dataclasses import asdict
from pathlib import Path

from snakemake.settings.enums import Quietness
from snakemake.utils import min_version

from madsep.core.errors import InputError
from madsep.core.logs import QUIET
from madsep.workflow.asked import Asked, any_of
from madsep.workflow.interruption import INTERRUPTED
from madsep.workflow.lines import JobLines
from madsep.workflow.make import check_packages, make_plan, sample_root
from madsep.workflow.messages import faults, plain_errors, refuse_second_run, result
from madsep.workflow.needs import Needs
from madsep.workflow.settings import check_settings

min_version("9.0")

# with --quiet rules host, as from `madsep run`: one line per finished job
lines = JobLines(on_nothing=lambda: print(result(plan)))
is_quiet = workflow.output_settings.quiet == {Quietness.RULES, Quietness.HOST}
if workflow.is_main_process and workflow.modifier.is_main_snakefile() and is_quiet:
    os.environ[QUIET] = "1"
    lines.attach()


# read config.yaml in the folder of the run, unless another workflow passes settings
# missing keys get the defaults of the shipped config.yaml
if Path("config.yaml").exists() and not workflow.modifier.skip_configfile:
    with plain_errors():
        check_settings(Path("config.yaml"))

    configfile: "config.yaml"


report: "workflow/report/workflow.rst"


# for --sdm apptainer; docs/containers.md shows how to build it
container: "workflow/envs/madsep.sif"


started_s = time.time()
with plain_errors():
    if prefix := workflow.modifier.path_modifier.prefix:
        raise InputError(
            f"module with prefix '{prefix}': the workflow's paths are fixed."
        )
    plan = make_plan(config, workflow.is_main_process)
    # conda environments and containers have their own packages
    if plan and not workflow.deployment_settings.deployment_method:
        check_packages(plan)


if plan is None:  # this run only downloads the sample; the next one uses it

    # the only rule that needs a network; it runs on the machine on which snakemake was started
    rule fetch:
        log:
            "results/logs/fetch.log",
        localrule: True
        conda:
            "workflow/envs/madsep.yaml"
        params:
            folder=sample_root(config),
        script:
            "workflow/scripts/fetch.py"

else:
    ask = Asked(plan)
    needs = Needs(plan, on_cluster=lambda: workflow.non_local_exec)
    if needs.n_gpus and "gpu" not in workflow.global_resources:
        workflow.register_resource("gpu", needs.n_gpus)

    wildcard_constraints:
        kind=r"(train|test)(-four)?(-mono)?(-\d+)?",
        job=r"[a-z0-9-]+",
        training=any_of(plan.trainings),
        system=any_of(plan.scored),
        name=any_of(plan.selection.submissions),

    include: "workflow/rules/prepare.smk"
    include: "workflow/rules/train.smk"
    include: "workflow/rules/separate.smk"
    include: "workflow/rules/score.smk"
    include: "workflow/rules/sisec.smk"
    include: "workflow/rules/listen.smk"
    include: "workflow/rules/couplings.smk"

    rule all:
        default_target: True
        input:
            plan.results,
        localrule: True


onstart:
    if plan and workflow.non_local_exec:
        refuse_second_run()


onsuccess:
    lines.close()
    print(
        result(plan)
        if plan
        else f"{sample_root(config)}: the sample of MUSDB18 has been downloaded. Run the same command again."
    )


onerror:
    lines.close()
    if not INTERRUPTED.is_set():
        print("\n".join(faults(started_s, log)), file=sys.stderr)
