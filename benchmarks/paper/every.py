"""All figures and tables of the paper, in order, and the page that tells what came out.

    python -m benchmarks.paper.every --preset small

Measures what is missing and rebuilds docs/reproduction.md from the results of all presets. `zest paper` is the same.
"""

import tyro

from benchmarks.paper import (
    appendix_b_alignment,
    fig2_related,
    fig3_references,
    fig4_text_audio,
    fig5_extraction,
    fig6_unlearning,
    race,
    sec43_agreement,
    table1_modelreuse,
)
from benchmarks.paper.experiment import Experiment, Options, run
from benchmarks.paper.page import rebuild

EXPERIMENTS: tuple[Experiment, ...] = (
    fig2_related.EXPERIMENT,
    fig3_references.EXPERIMENT,
    sec43_agreement.EXPERIMENT,
    fig4_text_audio.EXPERIMENT,
    fig5_extraction.EXPERIMENT,
    fig6_unlearning.EXPERIMENT,
    appendix_b_alignment.EXPERIMENT,
    table1_modelreuse.EXPERIMENT,
    race.EXPERIMENT,
)


def run_all(names: tuple[str, ...], options: Options) -> bool:
    """Run the experiments of these names, all for "all" or none, and rebuild the page; whether all of them came to an end."""
    known = [experiment.name for experiment in EXPERIMENTS]
    if unknown := [name for name in names if name not in (*known, "all")]:
        raise ValueError(f"no experiment is called {', '.join(unknown)}; there are {', '.join(known)}")
    until, done = options.deadline(), True
    for experiment in EXPERIMENTS:
        if done and (not names or {experiment.name, "all"} & set(names)):
            done = run(experiment, options, until=until) is not None
    rebuild(EXPERIMENTS, options.results)
    return done


if __name__ == "__main__":
    if not run_all((), tyro.cli(Options, description=__doc__)):
        raise SystemExit(1)
