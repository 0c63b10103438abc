"""Write the figures of README.md from the results files, or check that they are the ones there.

python scripts/readme_figures.py            rewrite the blocks between <!-- name --> and <!-- /name -->
python scripts/readme_figures.py --check    exit with 1 if they would change
"""

import json
import re
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def main() -> int:
    path = ROOT / "README.md"
    text = path.read_text(encoding="utf-8")
    fresh = with_figures(text)
    if "--check" in sys.argv[1:]:
        if fresh != text:
            print(
                "README.md does not show the figures in benchmarks/results; run scripts/readme_figures.py",
                file=sys.stderr,
            )
        return int(fresh != text)
    path.write_text(fresh, encoding="utf-8")
    return 0


def with_figures(text: str) -> str:
    """Return the README with every block of figures made anew."""
    blocks = {"demo": demo(), "race": race(), "table1": table1(), "domains": domains(), "zoo": zoo(), "speed": speed()}
    for name, block in blocks.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        text, n = re.subn(pattern, lambda m, block=block: f"{m[1]}{block}{m[2]}", text, flags=re.S)
        if n != 1:
            raise ValueError(f"README.md needs exactly one block <!-- {name} --> ... <!-- /{name} -->, it has {n}")
    return text


def demo() -> str:
    result = read("demo/demo.json")
    victim = next(model["label"] for model in result["models"] if model["kind"] == "victim")
    lines = [f"| model | what it is to {victim} | distance | relative | verdict |", "|---|---|---|---|---|"]
    for model in result["models"]:
        if model["kind"] == "victim":
            continue
        verdict = {True: "related", False: "no sign of a relation", None: "can't tell"}[model["related"]]
        sign = "<" if model["related"] else ">"
        what = f"{model['kind']}, {model['how']}"
        lines.append(
            f"| {model['label']} | {what} | {model['distance']:.3f} | {model['relative']:.2f} "
            f"| {verdict} ({sign} {model['bound']:.2f}) |"
        )
    return "\n".join(lines) + "\n"


def race() -> str:
    """Zest and its peers on the models of the race, with few questions and with many; each method says how many it asked."""
    verdicts = read("race/small/result.json")["verdicts"]
    of_budget = {
        int(match[1].replace(",", "")): verdict["numbers"]
        for about, verdict in verdicts.items()
        if (match := re.fullmatch(r"no peer that only asks finds more with ([\d,]+) questions", about))
    }
    budgets = min(budget for budget in of_budget if budget >= 100), max(of_budget)
    heads = [f"TPR, {budgets[0]:,} questions", f"TPR, {budgets[1]:,} allowed", "asked of these", "AUROC then"]
    lines = [f"| | {' | '.join(heads)} |", "|---|" + "---|" * len(heads)]
    for method in ("Zest", "ModelDiff", "AKH", "FBI", "prediction agreement"):
        few, many = (of_budget[budget][method] for budget in budgets)
        if few["asked"] != budgets[0]:
            raise ValueError(f"{method} asked {few['asked']} questions; the table says {budgets[0]}")
        rates = [f"{of['tpr']:.2f} ({of['interval'][0]:.2f} to {of['interval'][1]:.2f})" for of in (few, many)]
        asked = f"{many['asked']:,}" + (", repeats counted" if method == "Zest" else "")
        lines.append(f"| {method} | {rates[0]} | {rates[1]} | {asked} | {many['auroc']:.2f} |")
    return "\n".join(lines) + "\n\n" + moved(verdicts, budgets[1]) + comparable(verdicts, budgets[1])


def comparable(verdicts: dict, budget: int) -> str:
    """How well methods separate where none of them is without an answer."""
    areas = verdicts[f"the same of the pairs that every method can compare, {budget:,} questions"]["numbers"]
    told = ", ".join(
        f"{name} {areas[name]:.2f}" for name in ("Zest", "ModelDiff", "AKH", "FBI", "prediction agreement")
    )
    return f"AUROC of the pairs that every method can compare, those of the same classes: {told}.\n"


def moved(verdicts: dict, budget: int) -> str:
    """What was found of models that were moved to other classes."""
    found = []
    for about, verdict in verdicts.items():
        if match := re.fullmatch(
            rf"transfer (\d+): no peer that only asks finds more with {budget:,} questions", about
        ):
            of_those = {name: of[str(budget)] for name, of in verdict["numbers"].items()}
            told = ", ".join(
                f"{name} {of_those[name]['tpr']:.2f}" if of_those[name]["comparable"] else f"{name} cannot compare them"
                for name in ("Zest", "ModelDiff", "AKH", "FBI")
            )
            found.append(f"with the last {match[1]}% of the parameter tensors trained {told}")
    return f"TPR of those that were moved to other classes, with all questions allowed: {'; '.join(found)}.\n"


def table1() -> str:
    """The share of the paper's Table 1 that each method found, by kind of reuse."""
    verdicts = read("table1_modelreuse/small/result.json")["verdicts"]
    rows = [name for name in verdicts if re.search(r"\(\d+ pairs\)$", name)]
    methods = ("Zest (cosine)", "ModelDiff")
    rules = {"detected": "", "nearest": ", nearer than every unrelated model"}
    heads = [f"{method}{words}" for words in rules.values() for method in methods]
    lines = [f"| | {' | '.join(heads)} |", "|---|" + "---|" * len(heads)]
    for name in rows:
        found = verdicts[name]["numbers"]
        shares = [f"{found[rule][method]:.1%}" for rule in rules for method in methods]
        lines.append(f"| {name} | {' | '.join(shares)} |")
    alarms = verdicts["cosine detects every pair"]["numbers"]["unrelated models detected"]
    told = " and ".join(f"{alarms[method]:.0%} ({method})" for method in methods)
    return (
        "\n".join(lines) + f"\n\nBy the paper's rule {told} of the unrelated models would be taken for reused, too.\n"
    )


def domains() -> str:
    """Figure 4: related and unrelated models of texts and of sounds."""
    result, speed = read("fig4_text_audio/small/result.json"), read("speed/sign_text_audio/cpu.json")
    lines = [
        "| | accuracy | related | unrelated | relative | signing / bare model |",
        "|---|---|---|---|---|---|",
    ]
    for domain, model, name in (("text", "lstm", "LSTM"), ("audio", "m5", "M5")):
        found = result["verdicts"][f"{domain}: related below unrelated"]["numbers"]
        (timed,) = speed["models"][model].values()
        lines.append(
            f"| {name} on `{found['data']}` | {min(found['accuracy']):.1%} to {max(found['accuracy']):.1%} "
            f"| {found['related']:.4f} | {found['unrelated']:.4f} | {found['relative']:.2f} "
            f"| {ratio(timed['seconds'], 'sign', 'bare')} |"
        )
    return "\n".join(lines) + "\n"


def zoo() -> str:
    result = read("zoo/cifar10-small/distances.json")
    environment, options = result["environment"], result["options"]
    minutes = sum(build["seconds"] for build in result["builds"]) / 60
    head = (
        f"{len(result['models'])} models, built in {minutes:.0f} minutes on {environment['processors']} cores "
        f"({environment['processor']}); {options['n_references']} references, {options['n_samples']} masks.\n\n"
    )
    return head + (RESULTS / "zoo" / "cifar10-small" / "table.md").read_text(encoding="utf-8")


def speed() -> str:
    sign, memory = read("speed/sign/cpu.json"), read("speed/memory/cpu.json")
    second = read("speed/sign/cpu-second.json")["models"]["onnx"]["seconds"]
    environment = sign["environment"]
    onnx, flax = sign["models"]["onnx"], sign["models"]["flax"]
    probes = sign["probes"]
    rows = [
        ("ONNX: signing / bare model", ratio(onnx["seconds"], "sign", "bare")),
        ("ONNX: signing / bare model, in a later run", ratio(second, "sign", "bare")),
        ("Flax: signing / bare model", ratio(flax["seconds"], "sign", "bare")),
        ("ONNX: the way of 2022 / signing", ratio(onnx["seconds"], "2022", "sign")),
        ("questions asked of 128,000", f"{probes['distinct']:,}"),
        ("memory above the model's own, 32 x 32", f"{memory['sizes']['32']['above_model_mib']:.0f} MiB"),
        ("memory above the model's own, 224 x 224", f"{memory['sizes']['224']['above_model_mib']:.0f} MiB"),
    ]
    head = (
        f"128 CIFAR-10 references, 1000 masks each, a ResNet20-sized model; {environment['processors']} cores "
        f"({environment['processor']}), JAX {environment['versions']['jax']}.\n\n"
    )
    return head + "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]) + "\n"


def ratio(seconds: dict[str, list[float]], what: str, against: str) -> str:
    """Median and range over the rounds, in each of which both ran one after the other."""
    rounds = [a / b for a, b in zip(seconds[what], seconds[against], strict=True)]
    return f"{statistics.median(rounds):.2f} ({min(rounds):.2f} to {max(rounds):.2f}, {len(rounds)} rounds)"


def read(name: str) -> dict:
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main())
