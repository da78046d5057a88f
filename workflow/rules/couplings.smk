"""What trained networks do to their input: couplings of the systems named in `couplings`, over the test tracks."""

from madsep.coupling_frames import own_stack


def check_coupled():
    """Refuse systems that are not trained here, have no dense layers on single frames, or work at another rate than the data."""
    for name in config["couplings"]:
        if name not in RECIPES:
            raise InputError(
                f"couplings: {name} is not among the recipes of `systems`{nearest(name, RECIPES)}; name it there, too."
            )
        own_stack(RECIPES[name], f"couplings: {name}")
        rate_hz = RECIPES[name].front_end.sample_rate_hz
        if rate_hz != DATASET.sample_rate_hz:
            raise InputError(
                f"couplings: {name} works at {rate_hz} Hz, {DATASET.title} has {DATASET.sample_rate_hz} Hz; choose a recipe made for it."
            )
    return config["couplings"]


def figure_of(name, label):
    """A figure of a system's couplings, for the report."""
    return report(
        f"results/{{system}}/couplings/{name}.svg",
        caption="../report/couplings.rst",
        category="{system}",
        labels={"figure": label},
    )


try:
    COUPLED = check_coupled()
except InputError as error:
    sys.exit(f"ERROR: {error}")

COUPLINGS_FILES = ["results/couplings.html"] if COUPLED else []


rule couplings:
    input:
        checkpoint="results/{system}/checkpoint.safetensors",
        prepared=lambda wildcards: expand(
            "results/prepared/{batch}.json", batch=batch_names("prepare", "test")
        ),
    output:
        couplings=figure_of("couplings", "couplings of the dense layers"),
        jacobian=figure_of("jacobian", "Jacobian of the network"),
        lags=figure_of("lags", "reach of the Jacobian in time"),
        losses=figure_of("losses", "losses of the couplings' fits"),
        tables=expand(
            "results/{{system}}/couplings/{table}.csv",
            table=["measures", "summary", "losses", "lags"],
        ),
        maps="results/{system}/couplings/couplings.npz",
        provenance="results/{system}/couplings/provenance.yaml",
    log:
        "results/logs/couplings/{system}.log",
    benchmark:
        "results/benchmarks/couplings/{system}.tsv"
    wildcard_constraints:
        system=any_of(COUPLED),
    conda:
        "../envs/madsep.yaml"
    threads: config["threads"]["train"]
    resources:
        gpu=gpu_job,
        mem_mb=lambda wildcards, attempt: attempt * 6000,
        runtime=lambda wildcards, attempt: attempt
        * minutes([TRACKS[slug] for slug in TEST], 5),
    params:
        nca=config["nca"],
        bootstrap=config["bootstrap"],
    script:
        "../scripts/couplings.py"


rule couplings_table:
    input:
        expand("results/{system}/couplings/summary.csv", system=COUPLED),
    output:
        table="results/couplings.csv",
        page=report(
            "results/couplings.html",
            caption="../report/couplings_table.rst",
            category="couplings",
            labels={"table": "all systems"},
        ),
    log:
        "results/logs/couplings.log",
    conda:
        "../envs/madsep.yaml"
    params:
        systems=COUPLED,
    script:
        "../scripts/couplings_table.py"
