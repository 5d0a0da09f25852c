"""What the flex template's launcher starts: its parameters become `gristmill curate --engine dataflow`.

The launcher passes every parameter as --name=value and adds Beam options of its own (project, template_location ...).
Ours are named below; all others are Beam's and go through `--beam`, where unknown ones are refused.
"""

from __future__ import annotations

import sys

from pipeline.cli import main

ARGUMENTS = "inputs"  # separated by white space
OPTIONS = ("output", "prefix", "limit", "config", "set", "snapshot", "mirror")
DROPPED = ("runner", "requirements_file", "setup_file", "job_name_prefix")  # said by us, or baked into the image


def command(parameters: list[str]) -> list[str]:
    """The arguments of `gristmill`.

    >>> command(["--inputs=gs://b/a.warc.gz", "--output=gs://b/out", "--project=p", "--runner=DataflowRunner"])
    ['curate', 'gs://b/a.warc.gz', '--output', 'gs://b/out', '--engine', 'dataflow', '--beam', 'project=p']
    """
    inputs: list[str] = []
    ours: list[str] = []
    beam: list[str] = []
    for parameter in parameters:
        name, _, value = parameter.removeprefix("--").partition("=")
        if name == ARGUMENTS:
            inputs += value.split()
        elif name in OPTIONS:
            for each in value.split(";") if name == "set" else [value]:
                ours += [f"--{name}", each] if each else []
        elif name not in DROPPED:
            beam += ["--beam", parameter.removeprefix("--")]
    return ["curate", *inputs, *ours, "--engine", "dataflow", *beam]


if __name__ == "__main__":
    sys.argv[1:] = command(sys.argv[1:])
    main()
