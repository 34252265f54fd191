"""The files of examples/kubernetes, read and judged."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from cel_expr_python import cel
from cel_expr_python.ext import ext_optional, ext_strings
from kubernetes_validate.utils import schema_contents
from referencing import Registry, Resource

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "kubernetes"
KUBERNETES = "1.36"
SCHEMAS = f"kubernetes-json-schema/v{KUBERNETES}.0-local-strict"

_EXTENSIONS = [ext_strings.ExtStrings(), ext_optional.ExtOptional()]


def documents(text: str) -> list[dict]:
    return [found for found in yaml.safe_load_all(text) if found]


def read(path: str) -> list[dict]:
    return documents((EXAMPLES / path).read_text())


@cache
def kubectl() -> str | None:
    return shutil.which("kubectl") or shutil.which("oc")


@cache
def rendered(folder: str) -> str:
    program = kubectl()
    assert program is not None
    ran = subprocess.run(
        [program, "kustomize", str(EXAMPLES / folder)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@cache
def crd() -> dict:
    [found] = read("base/crd.yaml")
    return found


@cache
def schema() -> dict:
    [version] = crd()["spec"]["versions"]
    return version["schema"]["openAPIV3Schema"]


def strict(part: dict) -> dict:
    """The structural schema as JSON schema that knows no other field, as kubectl warns of them."""
    found = {name: value for name, value in part.items() if not name.startswith("x-kubernetes-")}
    if "properties" in found:
        found["properties"] = {name: strict(value) for name, value in found["properties"].items()}
        found.setdefault("additionalProperties", False)
    for name in ("items", "additionalProperties"):
        if isinstance(found.get(name), dict):
            found[name] = strict(found[name])
    if part.get("x-kubernetes-list-type") == "set":
        found["uniqueItems"] = True
    return found


@cache
def _compiled(expression: str, names: tuple[str, ...]) -> Any:
    variables = dict.fromkeys(names, cel.Type.DYN)
    return cel.NewEnv(variables=variables, extensions=_EXTENSIONS).compile(expression)


def evaluate(expression: str, **variables: object) -> object:
    result = _compiled(expression, tuple(variables)).eval(data=variables)
    assert str(result.type()) != "ERROR", result.value()
    return result.plain_value()


def broken_rules(part: dict, value: object) -> list[str]:
    """Messages of the CEL rules that a value breaks, at every level of the schema."""
    found = []
    for rule in part.get("x-kubernetes-validations", ()):
        text = rule["rule"]
        if rule.get("optionalOldSelf"):
            text = text.replace("oldSelf.hasValue()", "false")
        if evaluate(text, self=value) is not True:
            found.append(rule["message"])
    if isinstance(value, dict):
        for name, below in part.get("properties", {}).items():
            if name in value:
                found += broken_rules(below, value[name])
    if isinstance(value, list) and "items" in part:
        for entry in value:
            found += broken_rules(part["items"], entry)
    return found


def faults_of_monitor(found: dict) -> list[str]:
    """What the API server would say of a PFLACPMonitor on creation."""
    object_schema = strict(schema())
    object_schema["properties"]["metadata"] = {"type": "object"}
    validator = jsonschema.Draft202012Validator(object_schema)
    said = [error.message for error in validator.iter_errors(found)]
    return said or broken_rules(schema(), found)


@cache
def _third_party() -> dict:
    text = (Path(__file__).parent / "schemas" / "third_party.yaml").read_text()
    return yaml.safe_load(text)


@cache
def _definitions() -> Registry:
    """Of the strict schemas: read once, 3 MB of JSON."""
    path = f"{SCHEMAS}/_definitions.json"
    return (Resource.from_contents(schema_contents(path, KUBERNETES)) @ Registry()).crawl()


def check_built_in(found: dict) -> None:
    """Raise unless an object of a kind of Kubernetes itself is what its schema says."""
    version = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", found["apiVersion"])
    path = f"{SCHEMAS}/{found['kind'].lower()}-{version}.json"
    contents = schema_contents(path, KUBERNETES)
    registry = Resource.from_contents(contents) @ _definitions()
    jsonschema.Draft202012Validator(contents, registry=registry).validate(found)


_OURS_ALONE = {
    # Checked by the tests that name them; kustomize's own files make no object.
    ("kustomize.config.k8s.io/v1beta1", "Kustomization"),
    ("kustomize.config.k8s.io/v1alpha1", "Component"),
}


def check(found: dict) -> None:
    """Raise unless an object is what its kind's schema says."""
    kind = (found["apiVersion"], found["kind"])
    if kind in _OURS_ALONE:
        return
    if found["kind"] == "PFLACPMonitor":
        assert not faults_of_monitor(found)
        return
    third = _third_party().get(" ".join(kind))
    if third is None:
        check_built_in(found)
        return
    fields = third.get("fields") or {"spec": third["spec"]}
    jsonschema.validate(
        found,
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["metadata", *third.get("required", ["spec"])],
            "properties": {
                "apiVersion": {},
                "kind": {},
                "metadata": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["name"],
                    "properties": {
                        "name": {"type": "string"},
                        "namespace": {"type": "string"},
                        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                        "annotations": {
                            "type": "object",
                            "additionalProperties": {"type": "string"},
                        },
                    },
                },
                **fields,
            },
        },
    )
