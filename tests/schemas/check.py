"""Holds the shipped data files, the truth files and fresh results against the JSON Schemas.

Usage: check.py JEVONS   (the binary; run at the top of the tree). Exits 77 when python3-jsonschema is missing.
"""
import glob
import json
import subprocess
import sys

try:
    import jsonschema
except ImportError:
    print("python3-jsonschema is not installed")
    sys.exit(77)

SHIPPED = {
    "hardware": "hwmodels/data/accelerators/*.json",
    "class": "hwmodels/data/classes/*.json",
    "stack": "hwmodels/data/stacks/*.json",
    "model": "workloads/data/models/*.json",
    "truth": "tests/truth/*.json",
    "scenario": "tests/scenarios/*.json",
}


def validators():
    found = {}
    for path in sorted(glob.glob("reports/schemas/*.schema.json")):
        with open(path) as file:
            schema = json.load(file)
        jsonschema.Draft202012Validator.check_schema(schema)
        found[path.split("/")[-1].removesuffix(".schema.json")] = jsonschema.Draft202012Validator(schema)
    return found


def errors(validator, document, name):
    messages = []
    for error in validator.iter_errors(document):
        place = "/".join(str(part) for part in error.absolute_path)
        messages.append(f"{name}: /{place}: {error.message[:200]}")
    return messages


def run(binary, *arguments):
    done = subprocess.run([binary, *arguments], capture_output=True, text=True)
    if done.returncode not in (0, 4):
        raise SystemExit(f"{arguments}: exit code {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


def main(binary):
    by_name = validators()
    bad, checked = [], 0
    for name, pattern in SHIPPED.items():
        for path in sorted(glob.glob(pattern)):
            with open(path) as file:
                document = json.load(file)
            bad += errors(by_name[name], document, path)
            checked += 1
            if name == "truth":
                for case in document["cases"]:
                    bad += errors(by_name["scenario"], case["scenario"], f"{path} {case['id']}")
                    checked += 1
    for path in sorted(glob.glob("tests/scenarios/*.json")):
        with open(path) as file:
            task = json.load(file)["task"]
        result = run(binary, "roofline" if task == "op" else task, path, "--json", "-", "--quiet")
        bad += errors(by_name["result"], result, f"result of {path}")
        bad += errors(by_name["scenario"], result["inputs"], f"inputs in the result of {path}")
        checked += 2
    # A schema that accepts anything would pass all of the above.
    for broken in ({"task": "fly", "cluster": {"accelerator": "x"}}, {"task": "train", "cluster": {}}, {"task": "op", "cluster": {"accelerator": "x"}, "oops": 1}):
        if not errors(by_name["scenario"], broken, "broken"):
            bad.append(f"the scenario schema accepts {broken}")
    for message in bad[:40]:
        print(message)
    print(f"{checked} documents, {len(bad)} errors")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
