"""Entry point of the Dataflow flex template: turns its parameters into `gristmill curate --engine dataflow ...`.

The template launcher passes every parameter as --name=value and adds Beam options (project, template_location ...).
The names below are for `gristmill curate`; all others are passed to Beam with `--beam`, which refuses unknown ones.
"""

from __future__ import annotations

import sys

from pipeline.cli import main

ARGUMENTS = "inputs"  # separated by spaces
OPTIONS = ("output", "prefix", "limit", "config", "set", "snapshot", "mirror")
DROPPED = ("runner", "requirements_file", "setup_file", "job_name_prefix")  # set by --engine, or fixed by the image


def command(parameters: list[str]) -> list[str]:
    """The arguments of `gristmill` for the parameters of the template.

    >>> command(["--inputs=gs://b/a.warc.gz", "--output=gs://b/out", "--project=p", "--runner=DataflowRunner"])
    ['curate', 'gs://b/a.warc.gz', '--output', 'gs://b/out', '--engine', 'dataflow', '--beam', 'project=p']
    """
    inputs: list[str] = []
    options: list[str] = []
    beam: list[str] = []
    for parameter in parameters:
        name, _, value = parameter.removeprefix("--").partition("=")
        if name == ARGUMENTS:
            inputs += value.split()
        elif name in OPTIONS:
            for each in value.split(";") if name == "set" else [value]:
                options += [f"--{name}", each] if each else []
        elif name not in DROPPED:
            beam += ["--beam", parameter.removeprefix("--")]
    return ["curate", *inputs, *options, "--engine", "dataflow", *beam]


if __name__ == "__main__":
    sys.argv[1:] = command(sys.argv[1:])
    main()
