"""The command line. Each command imports its work inside itself, so that `--help` answers at once."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

import evenflow
from evenflow.cli.activations import activations
from evenflow.cli.claims import claims
from evenflow.cli.diagnose import diagnose
from evenflow.cli.doctor import doctor
from evenflow.cli.fix import fix
from evenflow.cli.predict import predict
from evenflow.cli.report import report
from evenflow.cli.rules import rules
from evenflow.cli.study import study
from evenflow.cli.watch import separated, watch
from evenflow.errors import EvenflowError

app = App(
    name="evenflow",
    help="Gradient flow in deep networks: what lets the gradient through, shown by experiment.",
    help_epilogue="Example: `evenflow study --quick` trains 16 networks and ends with a report, in under 40 seconds.",
    version=evenflow.__version__,
    help_format="markdown",
    result_action="return_value",
    suppress_keyboard_interrupt=False,  # `main` says how to go on
)
app.command(study)
app.command(predict)
app.command(activations)
app.command(report)
app.command(watch, help_epilogue="")
app.command(doctor, help_epilogue="")
app.command(fix, help_epilogue="")
app.command(diagnose, help_epilogue="")
app.command(claims)
app.command(rules, help_epilogue="Example: `evenflow rules vanishing_gradient` explains this one.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process.

    Exit codes: 0 done, 1 done but cells failed, something was found that `--fail-on` names, or nothing was shown to
    help, 2 wrong use or unusable input, 130 stopped by Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show "σ" is no reason to stop
    arguments = separated(list(sys.argv[1:] if arguments is None else arguments))
    try:
        code = app(arguments, exit_on_error=False, print_error=False) or 0
        sys.stdout.flush()
    except (EvenflowError, CycloptsError) as error:
        print(f"evenflow: {' '.join(str(error).split())}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        goes_on = arguments[:1] == ["study"] or arguments[:2] == ["claims", "run"]
        kept = "; everything recorded is kept, the same command goes on" if goes_on else ""
        print(f"evenflow: stopped{kept}", file=sys.stderr)
        code = 130
    except BrokenPipeError:  # the reader, such as `head`, has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)
