"""``dadsp VERB --help``: the verb's own keys with their comments, and the groups that it takes."""

import textwrap

from dadsp.cli.choices import choices, configuration, groups, heading, sections
from dadsp.cli.verbs import BEGIN_RUNS, CONFIGURATIONS, WHAT
from dadsp.errors import ConfigError, nearest

NO_KEYS = ("defaults", "hydra")  # sections of a configuration that are no keys of the verb
OF_STUDY = "dadsp data {action} takes one study: data=NAME, or --config-dir FOLDER data=NAME; keys of it as data.KEY=VALUE."
ACTIONS = {
    "describe": "dadsp data describe data=NAME [--json]   counts, ranges, censoring, overlaps, naive scores",
    "concordance": "dadsp data concordance data=NAME [out=FOLDER] [--json]   how far the screens agree where both measured",
    "validate": "dadsp data validate data=NAME [--json]   every problem of the files in one pass; exit code 0 or 2",
    "prepare": "dadsp data prepare data=NAME out=FOLDER   a cache that opens at once and knows when it is stale",
    "fit": "dadsp data fit table=FILE out=FOLDER fit.dose_unit=um fit.response=viability   curves of raw viability",
    "fetch": "dadsp data fetch gdsc|ccle|depmap|pubchem-smiles [out=FOLDER]   published files, checked and kept",
    "simulate": "dadsp data simulate data=simulated out=FOLDER   a simulated screen pair as CSV files with its truth",
}
GENERAL = """dadsp: cell-line drug sensitivity, predicted across screens

Usage: dadsp VERB [key=value …] [--json] [--debug]

Verbs:
{verbs}

Examples:
  dadsp train                                         the embedded simulated study, DADSP-A
  dadsp train data=gdsc_ccle_panel seed=1             the real panel (data.root= or DADSP_REAL_DATA)
  dadsp train -m model=dadsp_a,source_only seed=0,1,2 a sweep; run again, it skips what is finished
  dadsp train -m experiment=table1 seed=0,1,2,3,4     a table of the paper
  dadsp tune model=source_only tune.trials=40         a hyper-parameter search
  dadsp train model=dadsp_a --cfg job                 print the configuration, train nothing
  dadsp train resume=runs/…                           go on with a killed run
  dadsp single-drug drug=all                          the embedded simulated screen, one network per drug
  dadsp predict run=runs/… pairs=pairs.csv            predict new pairs
  dadsp impute run=runs/… domain=source               all unmeasured pairs, with intervals
  dadsp embed run=runs/…                              feature space before and after training
  dadsp explain run=runs/… drug=Paclitaxel            critical genes of its most sensitive lines
  dadsp compare runs=runs reference=DADSP-A           all finished runs side by side
  dadsp report run=runs/…                             one HTML page that can be mailed (--format md: Markdown)
  dadsp reproduce table=experiments/table1/results.csv  a row of a table, trained again
  dadsp data describe data=gdsc_ccle_panel --json     counts, ranges, overlaps, naive scores
  dadsp list model                                    what there is to choose from

Options:
  --json     results as JSON on standard output
  --debug    full traceback on errors
  --version  print the version
  dadsp VERB --help   keys and choices of a verb
"""
OPTIONS = {
    "--json": "results as JSON on standard output",
    "--debug": "full traceback on errors",
    "--config-dir FOLDER": "choices of your own, laid out as conf/ (FOLDER/data/mine.yaml: data=mine)",
    "--cfg job": "print the configuration and do nothing",
    "plugins=[NAME]": "use an installed plug-in (docs/extend.md)",
    "-m": "a sweep: every combination of key=a,b,c",
}


def general() -> str:
    """What ``dadsp --help`` prints."""
    return GENERAL.format(verbs="\n".join(f"  {verb:<13}{what}" for verb, what in WHAT.items()))


def of_verb(verb: str, rest: list[str]) -> str:
    """What ``dadsp VERB --help`` prints.

    Args:
        verb: As typed.
        rest: Arguments after it; of ``data``, the action is the first.

    Raises:
        ConfigError: There is no such verb or action.
    """
    if verb not in WHAT:
        raise ConfigError(f"'{verb}' is not a verb of dadsp. {nearest(verb, WHAT)}")
    if verb == "data":
        return _of_data(next((part for part in rest if not part.startswith("-")), None))
    if verb in ("list", "models", "completion"):
        from dadsp.cli.listing import USAGE

        return f"dadsp {verb}: {WHAT[verb]}\n\n{USAGE}"
    name = CONFIGURATIONS.get(verb, verb)
    text = configuration(name)
    parts = ["\n".join(heading(text))]
    if taken := _groups(groups(name)):
        parts.append(
            "Choices, GROUP=NAME, * where none is named. What each is: dadsp list GROUP. Its keys: dadsp list GROUP NAME.\n"
            + taken
        )
    parts.append("Keys, KEY=VALUE, a key inside another with a dot between them. ??? must be given.\n" + _keys(text))
    options = dict(OPTIONS)
    if verb not in BEGIN_RUNS:
        del options["-m"]
    parts.append("Options\n" + "\n".join(f"  {option:<21}{what}" for option, what in options.items()))
    return "\n\n".join(parts) + "\n"


def _groups(taken: dict[str, str]) -> str:
    shown = []
    for group, default in taken.items():
        names = [f"{choice.name}*" if choice.name == default else choice.name for choice in choices(group)]
        lines = textwrap.wrap(", ".join(names), 100, initial_indent=f"  {group:<15}", subsequent_indent=" " * 17)
        shown += lines
    return "\n".join(shown)


def _keys(text: str) -> str:
    """The keys of a configuration as its file has them, comments and all."""
    own = [part.rstrip("\n") for key, part in sections(text).items() if key not in NO_KEYS]
    return textwrap.indent("\n".join(own), "  ")


def _of_data(action: str | None) -> str:
    if action is None:
        return "Usage:\n  " + "\n  ".join(ACTIONS.values()) + "\n  dadsp data ACTION --help   what an action takes\n"
    if action not in ACTIONS:
        raise ConfigError(f"'{action}' is not an action of dadsp data. {nearest(action, ACTIONS)}")
    parts = [ACTIONS[action]]
    if action in ("fetch", "fit"):
        text = configuration(action)
        return "\n\n".join([*parts, "\n".join(heading(text)), "Keys\n" + _keys(text)]) + "\n"
    lines = [f"  {choice.name:<17}{choice.what}" for choice in choices("data")]
    parts += [OF_STUDY.format(action=action), "Studies (dadsp list data NAME: the keys of one)\n" + "\n".join(lines)]
    return "\n\n".join(parts) + "\n"
