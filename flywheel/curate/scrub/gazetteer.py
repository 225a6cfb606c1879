"""The word lists behind the rules, loaded once: names, places and the common words that are neither."""

import gzip
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from flywheel.errors import ConfigError

_STREETWISE = {"street", "avenue", "road", "suite", "unit", "po", "box", "apartment", "floor", "north", "south", "east", "west"}
_TIME = {
    *"monday tuesday wednesday thursday friday saturday sunday january february march april may june july august september".split(),
    *"october november december mon tue wed thu fri sat sun jan feb mar apr jun jul aug sep sept oct nov dec".split(),
    *"christmas easter halloween thanksgiving spring summer autumn winter today tomorrow yesterday".split(),
}
_PRODUCTS = {
    *"python java ruby perl rust swift julia scala pascal ada delphi django flask alexa siri cortana claude gemini llama mistral".split(),
    *"mercedes tesla lincoln ford honda apple amazon google microsoft oracle azure excel word access visa paypal maestro discover".split(),
    *"markdown latex docker jenkins ansible maven gradle node react angular vue svelte jupyter anaconda conda panda pandas keras".split(),
    *"linux ubuntu debian fedora android chrome safari firefox opera brave edge alpine kali nova cassandra kafka hadoop jira".split(),
    *"christian muslim jewish catholic buddhist hindu islam english french german spanish italian dutch polish chinese".split(),
    *"japanese russian korean latin arabic hebrew hindi turkish greek swedish danish norwegian finnish american british".split(),
    *"canadian mexican indian european asian african australian god jesus lord bible quran earth mars venus jupiter saturn".split(),
    *"gauss euler newton bayes markov fourier laplace taylor pascal euclid hilbert fibonacci poisson bernoulli".split(),
    *"bot ai api url json html css sql xml http id pin vip ceo cto cfo hr it pm am est pst utc gmt usa uk eu un".split(),
    *"street avenue road drive lane boulevard court city town county state country university college school hospital bank".split(),
    *"hotel airport church park river lake mountain island beach bridge station museum theatre center centre company".split(),
    *"corporation inc llc ltd gmbh airlines airways insurance department ministry association institute society council".split(),
    *"the a an and or but if then else for of in on at to from by with as is are was were be been am do does did have has had".split(),
    *"i you he she it we they me him her us them my your his its our their this that these those what which who whom whose".split(),
    *"hi hello hey dear thanks thank please sorry yes no ok okay sure great good sir madam ma'am mr mrs ms dr miss".split(),
    *"unknown mac ninja kalman brain princess prince queen king royal enter post apache blender thomson lagrange cascade".split(),
    *"economy business first flight order account customer agent user assistant system support service team".split(),
    *"der die das ein eine und oder ist nicht mit für von zu im den dem auf sie wir ihr mein dein hallo danke bitte".split(),
    *"el la los las un una y o es no con para por de del que en su mi tu hola gracias como está le les des une et ou est".split(),
    *"pas avec pour dans sur ce cette je vous nous il elle bonjour merci il lo gli e che non per con sono ciao grazie".split(),
}


class Gazetteer(NamedTuple):
    """Lower-case words: `first` and `last` names, `places` (may be several words), `common` words, `never` names."""

    first: frozenset[str]
    last: frozenset[str]
    places: frozenset[str]
    common: frozenset[str]
    never: frozenset[str]


@cache
def gazetteer() -> Gazetteer:
    """The lists of this package.

    Raises:
        ConfigError: a list is missing or too short to be one, which would mean that no name is found.
    """
    first, last, places, common = (_words(name) for name in ("first_names", "last_names", "places", "common_words"))
    return Gazetteer(first, last, places, common, frozenset(_TIME | _PRODUCTS | _STREETWISE))


def _words(name: str) -> frozenset[str]:
    path = files("flywheel.curate.scrub") / "data" / f"{name}.txt.gz"
    try:
        words = frozenset(gzip.decompress(path.read_bytes()).decode("utf-8").split("\n"))
    except (OSError, EOFError, UnicodeDecodeError):
        words = frozenset()
    if len(words) < 1000:
        raise ConfigError(
            f"the word list {name} of `[scrub] ner = \"rules\"` is missing or damaged; names would stay in. "
            "Install flywheel again, or state `ner = \"none\"` to do without name detection."
        )
    return words - {""}
