"""Verdicts on lines that must not pass, and the committed results: their verdicts and the page that shows them."""

import dataclasses
import json

from benchmarks.paper import (
    appendix_b_alignment,
    every,
    fig2_related,
    fig3_references,
    fig4_text_audio,
    fig5_extraction,
    fig6_unlearning,
    sec43_agreement,
)
from benchmarks.paper.page import PAGE, page
from benchmarks.record import RESULTS


class TestThePage:
    def test_it_shows_the_results_files(self):
        assert PAGE.read_text(encoding="utf-8") == page(every.EXPERIMENTS, RESULTS, PAGE.parent)

    def test_verdicts_are_what_the_lines_give_today(self):
        for experiment in every.EXPERIMENTS:
            folder = RESULTS / experiment.name / "small"
            lines = [json.loads(line) for line in (folder / "lines.jsonl").read_text(encoding="utf-8").splitlines()]
            kept = json.loads((folder / "result.json").read_text(encoding="utf-8"))["verdicts"]
            found = experiment.judge(experiment.settings["small"], lines)
            assert {about: verdict.text for about, verdict in found.items()} == {
                about: verdict["text"] for about, verdict in kept.items()
            }
            assert {about: verdict.holds for about, verdict in found.items()} == {
                about: verdict["holds"] for about, verdict in kept.items()
            }

    def test_where_something_does_not_hold_it_says_why(self):
        for experiment in every.EXPERIMENTS:
            result = json.loads((RESULTS / experiment.name / "small" / "result.json").read_text(encoding="utf-8"))
            if not all(verdict["holds"] for verdict in result["verdicts"].values()):
                assert experiment.tried, experiment.name


class TestVerdicts:
    """Lines that must not pass."""

    def test_related_models_above_unrelated_ones(self):
        settings = fig2_related.EXPERIMENT.settings["smoke"]
        lines = [
            {"what": kind, "metric": metric, "t": t, **more, "distances": [distance]}
            for metric in fig2_related.METRICS
            for t in settings.starts
            for kind, more, distance in (
                ("unrelated", {}, 0.5),
                ("related", {"k": 1}, 0.6 if t == settings.starts[-2] else 0.1),
                ("related", {"k": 2}, 0.2),
            )
            if kind == "unrelated" or t + more["k"] <= settings.training.epochs
        ]
        verdicts = fig2_related.judge(settings, lines)
        assert not verdicts["related below unrelated (cosine)"].holds
        wrong = f"of the training on but t = {settings.starts[-2]}, k = 1;"
        assert wrong in verdicts["related below unrelated (cosine)"].text

    def test_distances_that_do_not_grow_with_k(self):
        settings = fig2_related.EXPERIMENT.settings["smoke"]
        lines = [{"what": "unrelated", "metric": "cosine", "t": t, "distances": [0.5]} for t in settings.starts]
        for metric in fig2_related.METRICS:
            lines += [line | {"metric": metric} for line in lines[: len(settings.starts)]] if metric != "cosine" else []
            lines += [
                {
                    "what": "related",
                    "metric": metric,
                    "t": t,
                    "k": k,
                    "distances": [0.1 / k if metric == "l2" else 0.1 * k],
                }
                for t in settings.starts
                for k in settings.ks
                if t + k <= settings.training.epochs
            ]
        found = fig2_related.judge(settings, lines)
        assert found["grows over k = 1, 2 (cosine)"].holds
        assert not found["grows over k = 1, 2 (l2)"].holds

    def test_a_mean_or_a_spread_that_depends_on_the_number_of_references(self):
        settings = fig3_references.EXPERIMENT.settings["smoke"]

        def lines(means, spreads):
            by_number = {
                str(n): {"mean": mean, "sd": sd} for n, mean, sd in zip(settings.sizes, means, spreads, strict=True)
            }
            return [
                {"what": what, "seed": seed, "pair": pair, "by number": by_number if what == "references" else masks}
                for what in ("references", "masks")
                for seed in (0, 1)
                for pair in settings.pairs
            ]

        masks = {str(n): {"mean": 0.1, "sd": 0.1 / n} for n in settings.masks}
        for means, spreads, holds in (
            ([0.1, 0.2, 0.1], [0.1, 0.05, 0.01], True),
            ([0.1, 0.1, 0.1], [0.1, 0.1, 0.1], False),
        ):
            found = fig3_references.judge(settings, lines(means, spreads))
            assert {verdict.holds for about, verdict in found.items() if "references" in about} == {holds}
        wide = dataclasses.replace(settings, sizes=(4, 8), pool=100)
        narrow = {
            "what": "references",
            "seed": 0,
            "by number": {"4": {"mean": 0.2, "sd": 0.1}, "8": {"mean": 0.1, "sd": 0.01}},
        }
        others = [line for line in lines([0.1] * 3, [0.1] * 3) if line["what"] == "masks"]
        found = fig3_references.judge(wide, others + [narrow | {"pair": pair} for pair in wide.pairs])
        assert not any(verdict.holds for about, verdict in found.items() if "references" in about)

    def test_agreement_in_the_wrong_order_and_copies_that_are_seen(self):
        settings = sec43_agreement.EXPERIMENT.settings["smoke"]
        noise = [-0.01, 0.0, 0.01]

        def lines(agreement, zest_distance, copies=0.5):
            def of(values):
                return {kind: [value + d for d in noise] for kind, value in values.items()}

            same = {"related": agreement, "late": 0.9, "copies": 0.5, "unrelated": 0.6}
            far = {"related": zest_distance, "late": 0.01, "copies": 0.5, "unrelated": 0.5}
            return [
                *({"what": f"{n} points", "victim": 0} | of(same) for n in settings.sizes),
                {"what": sec43_agreement.BOUNDARY, "victim": 0} | of(same | {"copies": copies}),
                {"what": "Zest", "draw": 0} | of(far),
                {"what": "copy", "victim": 0, "accuracy": 0.5},
            ]

        found = sec43_agreement.judge(settings, lines(0.55, 0.1))
        about = f"agreement on {settings.sizes[0]} points separates less than Zest"
        assert found[about].holds
        assert "LESS than unrelated" in found[about].text
        assert found["Zest: every related pair below every unrelated one"].holds
        assert not found["Zest: every copied pair below every unrelated one"].holds
        assert found["near the boundary copies agree no more than unrelated models"].holds
        found = sec43_agreement.judge(settings, lines(1.0, 0.49, copies=0.7))
        assert not found[about].holds
        assert not found["Zest: every related pair below every unrelated one"].holds
        assert not found["near the boundary copies agree no more than unrelated models"].holds

    def test_texts_and_sounds_whose_related_models_are_far(self):
        settings = fig4_text_audio.EXPERIMENT.settings["smoke"]

        def lines(related):
            epochs = [
                {"epoch": t, "related": [related] if t + settings.k <= 8 else [], "unrelated": [0.5]}
                for t in range(1, 9)
            ]
            return [
                {"what": what, "domain": name, "of": name, "epochs": epochs, "accuracy": [0.9]}
                for name in settings.domains
                for what in ("distances", "accuracy")
            ]

        for related, holds in ((0.05, True), (0.15, False), (0.6, False)):
            found = fig4_text_audio.judge(settings, lines(related))
            assert {verdict.holds for verdict in found.values()} == {holds}

    def test_classes_that_are_matched_wrongly(self):
        settings = appendix_b_alignment.EXPERIMENT.settings["smoke"]
        methods = appendix_b_alignment.METHODS

        def lines(half, moved):
            right = {what: {method: [1.0, 1.0] for method in methods} for what in ("itself", "another seed")}
            right["half trained"] = {method: [1.0, half] for method in methods}
            return [
                {"what": "permuted", "seed": 0, "right": right},
                {"what": "transferred", "seed": 0, "right": dict.fromkeys(methods, moved)},
            ]

        labels = appendix_b_alignment.LABELS
        for half, moved in ((1.0, 0.6), (0.9, 0.5)):
            found = appendix_b_alignment.judge(settings, lines(half, moved))
            assert found[f"classes matched rightly ({labels['half trained']})"].holds == (half == 1)
            assert found[f"classes matched rightly ({labels['fewer classes']})"].holds == (moved > 0.5)

    def test_copies_above_the_nearest_unrelated_model(self):
        settings = fig5_extraction.EXPERIMENT.settings["smoke"]
        first, last = str(settings.epochs[0]), str(settings.epochs[-1])
        lines = [
            {"what": "unrelated", **{metric: [0.4, 0.6] for metric in fig5_extraction.METRICS}},
            {"what": "copy", "answers": "labels", "accuracy": 0.5},
            *(
                {
                    "what": "distances",
                    "answers": "labels",
                    **{metric: {first: 0.9, last: end} for metric in fig5_extraction.METRICS},
                }
                for end in (0.3, 0.41)
            ),
        ]
        assert not fig5_extraction.judge(settings, lines)["extraction is seen (cosine)"].holds
        lines[-1] |= {"cosine": {first: 0.9, last: 0.39}}
        assert fig5_extraction.judge(settings, lines)["extraction is seen (cosine)"].holds

    def test_unlearned_models_on_the_wrong_side(self):
        settings = fig6_unlearning.EXPERIMENT.settings["smoke"]

        def lines(*, moved=0.0, **end):
            distances = {"exact": [0.6, 0.5], "unrelated": [0.5, 0.4], "amnesiac": [0.1], "repaired": [0.05]} | end
            distances["tuned"] = [0.02]
            shares = dict.fromkeys(("original", *distances), 0.5)
            others = distances | {"exact": [d + moved for d in distances["exact"]]}
            return [
                {"what": "amnesiac", "epoch": settings.epochs[-1], "accuracy": shares, "on the forgotten": shares},
                *(
                    {
                        "what": "distances",
                        **{
                            metric: {str(epoch): around for epoch in settings.epochs}
                            for metric in fig6_unlearning.METRICS
                        },
                    }
                    for around in (distances, others)
                ),
            ]

        right = fig6_unlearning.judge(settings, lines())
        assert len(right) == 9
        assert all(verdict.holds for verdict in right.values())
        for end, wrong in (
            ({"unrelated": [0.7, 0.5]}, "exact is farther than unrelated"),
            ({"amnesiac": [0.1, 0.55]}, "amnesiac is near"),
            ({"repaired": [0.1, 0.55]}, "amnesiac, repaired, is near"),
        ):
            found = fig6_unlearning.judge(settings, lines(**end))
            assert {about for about, verdict in found.items() if verdict.holds is False} == {
                f"{wrong} ({metric})" for metric in fig6_unlearning.METRICS
            }
        # Around some points farther by 0.1, around others nearer by 0.05.
        undecided = fig6_unlearning.judge(settings, lines(moved=-0.15))
        assert undecided["exact is farther than unrelated (cosine)"].holds is None
        assert undecided["amnesiac is near (cosine)"].holds
