"""`zest completion`: the script by which a shell completes commands and options when Tab is pressed."""

import contextlib
import dataclasses
import io
from importlib import metadata
from typing import Literal

from tyro.conf import Positional

from zest_jax.cli.options import Common
from zest_jax.errors import ZestError

# What tyro's own program, which every script holds, ends with; and what it prints where the shell is to complete files.
_ANSWERS = "    completions = get_completions(words, current_index, COMPLETION_SPEC)"
_FILES = "__TYRO_COMPLETE_FILES__"

# Options only where a dash was typed; files where nothing else fits: `zest sign vic<Tab>`.
_OPTIONS_AFTER_A_DASH = """
    word = words[current_index] if current_index < len(words) else ''
    if not word.startswith('-'):
        completions = [each for each in completions if not each.startswith('-')] or {files}
"""

# zsh counts words from 1, which tyro before 1.0.17 forgot; for fish it leaves out the word at the cursor.
_REPAIRS = {
    "zsh": ('"$CURRENT" <<', '"$((CURRENT - 1))" <<'),
    "fish": ("$words $current)", "$words (commandline -ct) $current)"),
}

# Readline itself completes files where the script finds nothing: it knows folders, spaces and the tilde.
_BASH_FILES = """
_zest_or_files() {
  _tyro_zest "$@"
  if [[ ${#COMPREPLY[@]} -eq 1 && ( -z ${COMPREPLY[0]} || ${COMPREPLY[0]} == __TYRO_COMPLETE_FILES__ ) ]]; then
    COMPREPLY=()
  fi
}
complete -o bashdefault -o default -F _zest_or_files zest
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Completion(Common):
    """Print the script by which your shell completes commands, options, their choices and files when Tab is pressed.

    Write it once where your shell looks, again after an update, and start a new shell. Folders are made with `mkdir -p`.

    bash, with the package bash-completion:
        zest completion bash > ~/.local/share/bash-completion/completions/zest

    bash without it:
        zest completion bash > ~/.zest-completion; echo 'source ~/.zest-completion' >> ~/.bashrc

    zsh, whose ~/.zshrc says `fpath=(~/.zfunc $fpath); autoload -Uz compinit; compinit`:
        zest completion zsh > ~/.zfunc/_zest

    fish:
        zest completion fish > ~/.config/fish/completions/zest.fish
    """

    shell: Positional[Literal["bash", "zsh", "fish"]]
    """Shell that will read the script."""

    def run(self) -> None:
        print(script(self.shell), end="")


def script(shell: Literal["bash", "zsh", "fish"]) -> str:
    """Write the script for one shell; it needs a python3 to run, but neither this package nor its time to start.

    Raises:
        ZestError: the installed tyro writes scripts of another form.
    """
    from zest_jax.cli.main import parse

    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        parse(["--tyro-write-completion", shell, "-"])
    before, found, after = out.getvalue().partition(_ANSWERS)
    broken, whole = _REPAIRS.get(shell, ("", ""))
    # A later tyro may need no repair.
    if not found or (broken not in out.getvalue() and whole not in out.getvalue()):
        raise ZestError(
            f"tyro {metadata.version('tyro')} writes scripts of a form that is not known here; look for a newer zest_jax"
        )
    rest_of_line, newline, after = after.partition("\n")
    # In bash readline completes files, and knows more about them.
    files = repr([] if shell == "bash" else [_FILES])
    text = before + found + rest_of_line + newline + _OPTIONS_AFTER_A_DASH.format(files=files).lstrip("\n") + after
    if shell == "bash":
        return text + _BASH_FILES
    return text if whole in text else text.replace(broken, whole)
