"""``dadsp list``: what there is to choose from; and the words that the shell completes."""

import json

from dadsp import plugins
from dadsp.cli.choices import KINDS, Choice, choices, configuration, groups, sections, with_parts
from dadsp.cli.help import ACTIONS, NO_KEYS
from dadsp.cli.verbs import CONFIGURATIONS, WHAT
from dadsp.errors import ConfigError, nearest

USAGE = """dadsp list                   the kinds of choices
dadsp list KIND [--json]     what there is of a kind, in a line each
dadsp list KIND NAME         the keys of one, with their comments
dadsp models                 the same as dadsp list model
eval "$(dadsp completion)"   in bash: Tab completes verbs, keys and choices from then on
"""
SCRIPT = """_dadsp() {
  local line="${COMP_LINE:0:COMP_POINT}" word found
  word="${line##* }"
  COMPREPLY=()
  while IFS= read -r found; do
    COMPREPLY+=("${found#"${word%"${word##*=}"}"}")  # bash completes what stands behind the last =
  done < <(dadsp completion "$line" 2>/dev/null)
}
complete -o nospace -o default -F _dadsp dadsp
"""


def run(arguments: list[str], as_json: bool, completion: bool = False) -> None:
    """Lists, or completes, as the arguments say.

    Raises:
        ConfigError: There is no such kind or choice.
    """
    if completion:
        if len(arguments) > 1 or (arguments and " " not in arguments[0]):  # the shell hands over a whole line
            raise ConfigError('dadsp completion takes no argument: eval "$(dadsp completion)", in bash.')
        print("".join(f"{word}\n" for word in completed(arguments[0])) if arguments else SCRIPT, end="")
        return
    words = plugins.taken(arguments)
    if not words:
        lines = {kind: f"{len(choices(kind))} {what}" for kind, what in KINDS.items()}
        print(json.dumps(lines) if as_json else "\n".join(f"{kind:<16}{what}" for kind, what in lines.items()))
        return
    kind, *names = words
    if kind not in KINDS:
        raise ConfigError(f"'{kind}' is no kind of choice. {nearest(kind, KINDS)}")
    found = {choice.name: choice for choice in choices(kind)}
    if names:
        for name in names:
            if name not in found:
                raise ConfigError(f"{kind}={name} is not a valid choice. {nearest(name, found)}")
        for name in names:
            _show(found[name], as_json)
    elif as_json:
        print(json.dumps({name: choice.what for name, choice in found.items()}))
    else:
        width = max(map(len, found)) + 2
        print("\n".join(f"{name:<{width}}{choice.what}" for name, choice in found.items()))


def _show(choice: Choice, as_json: bool) -> None:
    parts = dict(with_parts(choice))
    print(json.dumps(parts) if as_json else "\n".join(f"# {name}\n{text}" for name, text in parts.items()), end="")


def completed(line: str) -> list[str]:
    """The words that may stand at the end of a command line.

    Args:
        line: From ``dadsp`` to the cursor.
    """
    words = line.split(" ")
    begun, verb = words[-1], words[1] if len(words) > 2 else None
    if verb is None:
        found = [f"{name} " for name in WHAT]
    elif verb in ("list", "models"):
        kinds = list(KINDS) if len(words) == 3 and verb == "list" else []
        found = kinds or [choice.name for choice in choices(words[2] if verb == "list" else "model")]
    elif verb == "data" and len(words) == 3:
        found = [f"{name} " for name in ACTIONS]
    else:
        name = "config" if verb == "data" else CONFIGURATIONS.get(verb, verb)
        found = _keys_and_choices(name, begun) if verb in WHAT else []
    return [word for word in found if word.startswith(begun)]


def _keys_and_choices(name: str, begun: str) -> list[str]:
    taken, group = groups(name), begun.partition("=")[0]
    if group in taken and "=" in begun:
        return [f"{group}={choice.name}" for choice in choices(group)]
    return [f"{key}=" for key in (*taken, *sections(configuration(name))) if key not in NO_KEYS]
