"""JSON templates: how inputs are written into a request, and where an answer holds the outputs.

In a request `"$inputs"` stands for the list of all inputs, and `"$input"` for one of them: inside a list of one element, that
element is repeated for every input; elsewhere the service takes one input per request.

`"${NAME}"` in a text of a request stands for what an environment variable holds. It is filled in when a request is written, and
kept nowhere.

In an answer `"$outputs"` stands for the list with one output per input, and `"$output"` for that of one input, inside a list of
one element as above. Where labels and scores lie apart, `"$label"` and `"$score"` tell where. Anything else in an answer's
template must be there as it is; null stands for anything.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from zest_jax.blackbox.http.secrets import Secrets, sounds_secret, value_mark, value_of
from zest_jax.errors import ModelOutputError

_REQUEST = ("$inputs", "$input")
_ANSWER = ("$outputs", "$output", "$label", "$score")
_VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)\}")


class RequestTemplate:
    """Writes inputs into a request.

    Args:
        template: JSON, as text or as Python values.

    Attributes:
        template: what may be written down: variables by their names.
        secrets: the values of all variables.
        identity: the template as far as it decides the answers: a hash of the value of each variable, or "$" under a name that
            sounds secret.

    Raises:
        ValueError: it is no JSON, does not say where the inputs belong, holds a secret in the open, or a variable is not set.

    >>> RequestTemplate({"instances": [{"b64": "$input"}]}).fill(["AAA=", "AAE="])
    {'instances': [{'b64': 'AAA='}, {'b64': 'AAE='}]}
    >>> RequestTemplate('{"text": "$input", "all_scores": true}').one_by_one
    True
    """

    def __init__(self, template: Any) -> None:
        self.template = _parsed(template, "request")
        self.secrets = Secrets()
        self._values: dict[str, str] = {}
        self.identity = self._without_secrets(self.template, "")
        found = _places(self.template, _REQUEST, "request")
        if len(found) != 1:
            raise ValueError(
                f"`request` has {len(found)} of the places $inputs and $input, one is needed: "
                '{"instances": "$inputs"} for a service that takes a list, {"text": "$input"} for one input per request'
            )
        ((place, depth),) = found
        if depth > (place == "$input"):
            raise ValueError(
                f"`request` has {place} inside {depth} lists of one element; it can be repeated in one only"
            )
        #: Whether a request holds one input only.
        self.one_by_one = place == "$input" and depth == 0

    def fill(self, inputs: Sequence[Any]) -> Any:
        """The request for these inputs, JSON-able."""
        return _filled(self.template, list(inputs), self._values)

    def _without_secrets(self, part: Any, under: str) -> Any:
        """Read variables, and refuse what is secret and open; `under` is the name around that sounds secret, if one does."""
        if isinstance(part, dict):
            return {
                name: self._without_secrets(
                    inner, under or (str(name) if sounds_secret(str(name), harmless=True) else "")
                )
                for name, inner in part.items()
            }
        if isinstance(part, list):
            return [self._without_secrets(inner, under) for inner in part]
        if isinstance(part, str) and (variables := _VARIABLE.findall(part)):
            for variable in variables:
                self._values[variable] = value_of(variable, "`request`")
                self.secrets.add(self._values[variable])
            return _VARIABLE.sub(lambda match: "$" if under else value_mark(self._values[match[1]]), part)
        if under and part not in _REQUEST and part not in ("", None) and not isinstance(part, bool):
            raise ValueError(
                f"`request` holds {under!r}, which sounds like a secret, in the open; put its value into an environment variable "
                'and give "${NAME}" in its place'
            )
        return part


class AnswerTemplate:
    """Finds the outputs in an answer.

    Args:
        template: JSON, as text or as Python values.
        one_by_one: whether a request holds one input only.

    Raises:
        ValueError: it is no JSON, or does not say where the outputs are.

    >>> AnswerTemplate({"predictions": "$outputs"}).outputs({"predictions": [[0.1, 0.9]], "model": "m"}, "service")
    [[0.1, 0.9]]
    >>> tags = AnswerTemplate({"tags": [{"name": "$label", "confidence": "$score"}]}, one_by_one=True)
    >>> tags.outputs({"tags": [{"name": "cat", "confidence": 0.9}, {"name": "dog", "confidence": 0.1}]}, "service")
    [[{'label': 'cat', 'score': 0.9}, {'label': 'dog', 'score': 0.1}]]
    """

    def __init__(self, template: Any, *, one_by_one: bool = False) -> None:
        self.template = _parsed(template, "answer")
        self.one_by_one = one_by_one
        found = _places(self.template, _ANSWER, "answer")
        self._depth = dict(found)
        if sorted(place for place, _ in found) not in (["$outputs"], ["$output"], ["$label"], ["$label", "$score"]):
            raise ValueError(
                f"`answer` has the places {', '.join(place for place, _ in found) or 'none'}; it needs $outputs (a list, one "
                "per input), or $output (that of one input), or $label with or without $score"
            )
        depths = set(self._depth.values())
        deepest = 0 if "$outputs" in self._depth else 1 if "$output" in self._depth else 2
        if len(depths) > 1 or max(depths) > deepest:
            raise ValueError(
                f"`answer` has its places inside {max(depths)} lists of one element; {deepest} at most can be repeated, and "
                "$label and $score must lie in the same"
            )
        (self._nesting,) = depths
        if not one_by_one and self._nesting == 0 and "$outputs" not in self._depth:
            raise ValueError(
                "`answer` tells where one output is, and a request holds several inputs; put its place inside a list, "
                '["$output"], or send one input per request ($input outside of any list in `request`)'
            )

    def outputs(self, answer: Any, label: str) -> list[Any]:
        """What `answer` holds for each input, in order.

        Raises:
            ModelOutputError: the answer does not look like the template.
        """
        found = _found(self.template, answer, "the answer", label)
        if "$outputs" in found:
            outputs = found["$outputs"]
            if not isinstance(outputs, list):
                raise ModelOutputError(
                    f"{label} answered {shown(outputs)} where a list with one output per input belongs; say with `answer` "
                    "where it is"
                )
            return outputs
        if "$output" in found:
            return [found["$output"]] if self._nesting == 0 else found["$output"]
        return self._labelled(found)

    def _labelled(self, found: dict[str, Any]) -> list[Any]:
        labels, scores = found["$label"], found.get("$score")
        if scores is None:
            return [labels] if self._nesting == 0 else labels
        # Of one input the repeated list is that of its classes.
        if self._nesting == 0 or (self._nesting == 1 and self.one_by_one):
            labels, scores = [labels], [scores]
        return [_pairs(label, score) for label, score in zip(labels, scores, strict=True)]


def shown(value: Any, most: int = 160) -> str:
    """JSON of what arrived, cut to a length that a message can hold."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= most else f"{text[:most]}... ({len(text):,} characters)"


def _parsed(template: Any, name: str) -> Any:
    if not isinstance(template, str):
        return template
    try:
        return json.loads(template)
    except ValueError as error:
        if template in (*_REQUEST, *_ANSWER):
            return template
        # It is not shown: it may hold a secret.
        raise ValueError(f"`{name}` is no JSON ({error})") from None


def _places(template: Any, known: tuple[str, ...], name: str, depth: int = 0) -> list[tuple[str, int]]:
    """The placeholders in a template, each with the number of repeated lists around it."""
    if isinstance(template, str):
        if template in known:
            return [(template, depth)]
        if template.startswith("$") and not (name == "request" and _VARIABLE.match(template)):
            raise ValueError(f"`{name}` has {template!r}; the places are {', '.join(known)}")
        return []
    if isinstance(template, dict):
        return [found for part in template.values() for found in _places(part, known, name, depth)]
    if isinstance(template, list):
        inner = depth + (len(template) == 1)
        return [found for part in template for found in _places(part, known, name, inner)]
    return []


def _has(template: Any, place: str) -> bool:
    if isinstance(template, dict):
        return any(_has(part, place) for part in template.values())
    if isinstance(template, list):
        return any(_has(part, place) for part in template)
    return template == place


def _filled(template: Any, inputs: list[Any], values: Mapping[str, str]) -> Any:
    if isinstance(template, str):
        if template == "$inputs":
            return inputs
        if template == "$input":
            (only,) = inputs
            return only
        return _VARIABLE.sub(lambda match: values[match[1]], template)
    if isinstance(template, dict):
        return {name: _filled(part, inputs, values) for name, part in template.items()}
    if isinstance(template, list):
        if len(template) == 1 and _has(template, "$input"):
            return [_filled(template[0], [one], values) for one in inputs]
        return [_filled(part, inputs, values) for part in template]
    return template


def _found(template: Any, answer: Any, where: str, label: str) -> dict[str, Any]:
    if isinstance(template, str) and template in _ANSWER:
        return {template: answer}
    if template is None:
        return {}
    if isinstance(template, dict):
        if not isinstance(answer, dict):
            raise _differs(label, where, "an object", answer)
        found: dict[str, Any] = {}
        for name, part in template.items():
            if name not in answer:
                raise _differs(label, where, f"an object with {name!r}", answer)
            found |= _found(part, answer[name], f"{where}.{name}", label)
        return found
    if isinstance(template, list):
        if not isinstance(answer, list):
            raise _differs(label, where, "a list", answer)
        if len(template) == 1:
            parts = [_found(template[0], part, f"{where}[{i}]", label) for i, part in enumerate(answer)]
            return {place: [part[place] for part in parts] for place in _ANSWER if _has(template, place)}
        if len(answer) < len(template):
            raise _differs(label, where, f"a list of {len(template)} or more", answer)
        found = {}
        for i, (part, value) in enumerate(zip(template, answer, strict=False)):
            found |= _found(part, value, f"{where}[{i}]", label)
        return found
    if answer != template:
        raise _differs(label, where, shown(template), answer)
    return {}


def _differs(label: str, where: str, wanted: str, answer: Any) -> ModelOutputError:
    return ModelOutputError(
        f"{label}: {where} is {shown(answer)}, where {wanted} was expected; say with `answer` where the outputs are"
    )


def _pairs(label: Any, score: Any) -> list[dict[str, Any]]:
    """Labels and scores that lie side by side, or one of each."""
    if not isinstance(label, list) or not isinstance(score, list):
        return [{"label": label, "score": score}]
    if len(label) != len(score):
        raise ModelOutputError(f"{len(label)} labels came with {len(score)} scores; one score per label is needed")
    return [{"label": one, "score": value} for one, value in zip(label, score, strict=True)]
