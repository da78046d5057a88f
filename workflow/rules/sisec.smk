"""SiSEC 2018 on MUSDB18: BSSEval v4, medians, submissions, figures."""


include: "score.smk"
include: "submission.smk"
include: "report.smk"
include: "compare.smk"


PROTOCOL_FILES = [
    "results/compare/index.html",
    *expand("submission/{name}/provenance.yaml", name=SUBMISSIONS),
    *expand(
        "results/{system}/report/{figure}",
        system=SYSTEMS,
        figure=["medians.html", "boxplots.svg"],
    ),
    *expand(
        "results/{system}/preview.txt",
        system=SYSTEMS if SCORING["engine"] == "museval" else [],
    ),
]
