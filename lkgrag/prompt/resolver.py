"""From ``prompt.verbaliser`` to the class that words prompts.

It is a :class:`~lkgrag.prompt.Verbaliser`, which :class:`~lkgrag.prompt.Prompter` uses, or a
:class:`~lkgrag.prompt.BasePrompter`, which is a whole prompt.
"""

from __future__ import annotations

from lkgrag.errors import ConfigError
from lkgrag.prompt.base import BasePrompter
from lkgrag.prompt.verbalisers.base import Verbaliser
from lkgrag.utils.plugins import resolve

#: Wordings of this package; imported when asked for.
REGISTERED = {
    "compact": "lkgrag.prompt.verbalisers.compact:Compact",
    "none": "lkgrag.prompt.verbalisers.silent:Silent",
    "reference": "lkgrag.prompt.published.prompter:PublishedPrompter",
    "llamarec": "lkgrag.prompt.published.prompter:LlamaRecPrompter",
}
#: Entry points of other packages: name = "package.module:Class".
GROUP = "lkgrag.verbalisers"
OPTION = "prompt.verbaliser"
#: What a wording derives from.
BASES = (Verbaliser, BasePrompter)

#: Classes that this process registered.
_registered: dict[str, type[Verbaliser] | type[BasePrompter]] = {}


def register_verbaliser(name: str, verbaliser: type[Verbaliser] | type[BasePrompter]) -> None:
    """Give a wording a name of ``prompt.verbaliser``, in this process.

    Args:
        name: comes before all other names, this package's too.
        verbaliser: a verbaliser or a whole prompt.

    Raises:
        ConfigError: it is neither.
    """
    if not (isinstance(verbaliser, type) and issubclass(verbaliser, BASES)):
        raise ConfigError(
            f"{OPTION}={name}: {verbaliser!r} is no subclass of lkgrag.prompt.Verbaliser or "
            "lkgrag.prompt.BasePrompter"
        )
    _registered[name] = verbaliser


def resolve_verbaliser(name: str) -> type[Verbaliser] | type[BasePrompter]:
    """The class that ``prompt.verbaliser`` means.

    Args:
        name: of :func:`register_verbaliser`, of :data:`REGISTERED`, of an entry point of :data:`GROUP`, or
            ``package.module:Class``.

    Raises:
        ConfigError: there is no such wording, it cannot be imported, or it is of another kind.
    """
    if name in _registered:
        return _registered[name]
    # Without an address: these names only stand in the message.
    names = {**dict.fromkeys(_registered, ""), **REGISTERED}
    return resolve(name, names, GROUP, OPTION, BASES, "verbaliser")
