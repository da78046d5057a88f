"""Which systems a run is asked for, what they estimate, and whether they fit the data."""

import re

from madsep.separation.callables import STEMS
from madsep.couplings.frames import own_stack
from madsep.core.errors import InputError
from madsep.data.prepared import TARGETS
from madsep.comparison.published import BASELINE
from madsep.separation.external import external_names, external_targets, find_external
from madsep.core.settings import nearest
from madsep.systems.recipe import load_recipe, recipe_names
from madsep.data.tracks import find_extra_tracks, validation_names

FOUR = "-four"  # prepared data that hold all stems, not only the vocals and the rest
# names in results/ that no system can have
OWN_FOLDERS = rf"benchmarks|compare|logs|musdb-sample|prepared({FOUR})?(-\d+)?"


def find_systems():
    """The run's recipes, and its systems that are none: oracles, and separators and estimates made elsewhere; by name."""
    recipes, others = {}, {}
    for name in config["external"]:
        check_name(name, f"external: '{name}'")
    for name in config["systems"]:
        if name in recipe_names():
            recipes[name] = load_recipe(name, config["overrides"])
        elif (found := find_external(name, config["external"])) is not None:
            check_name(name, f"systems: '{name}' ({found.origin})")
            others[name] = found
        elif name != BASELINE:  # which is scored in every run
            known = [*recipe_names(), *external_names(config["external"])]
            raise InputError(
                f"systems: there is no system '{name}'{nearest(name, known)} (known: {', '.join(known)})"
            )
    return recipes, others


def check_name(name, where):
    """Refuse a name that no system made elsewhere can have; it becomes that of a folder in results/."""
    if name == "":
        fault = "it is empty"
    elif not re.fullmatch(r"[\w+-]+", name):
        fault = "it holds other characters than letters, digits, +, - and _"
    elif name in recipe_names():
        fault = "it is that of a recipe"
    elif name == BASELINE:
        fault = "it is that of the floor, which every run scores"
    elif re.fullmatch(OWN_FOLDERS, name, re.IGNORECASE):
        fault = f"the run keeps files of its own in results/{name.lower()}"
    else:
        return
    raise InputError(
        f"{where} cannot be the name of a system here: {fault}; give it another name in external."
    )


def find_extra():
    """The tracks under extra_root, by slug, where a recipe asks for them."""
    asking = [name for name in RECIPES if recipe_of(name).training.extra_tracks]
    if not asking:
        return {}
    if config["extra_root"] is None:
        raise InputError(
            f"systems: {asking[0]} trains on further tracks, but extra_root is not set; set it to a folder with train/<track>/<stem>.wav."
        )
    known = [track.name for track in TRACKS.values()]
    extra = find_extra_tracks(config["extra_root"], DATASET, known)
    return {track.slug: track for track in extra}


def targets_of(name):
    """What a system estimates: vocals and accompaniment, or all stems and accompaniment; of MIX, all that any system does."""
    if name == BASELINE:
        return max(map(targets_of, SYSTEMS), key=len, default=TARGETS)
    if name in EXTERNAL:
        targets = external_targets_of(name)
        return targets if set(targets) <= {*DATASET.stems, *TARGETS} else TARGETS
    return (*RECIPES[name].estimated, "accompaniment")


def external_targets_of(name):
    """As `external_targets`; a fault begins with the system's name and what made it one."""
    names = [track.name for track in TRACKS.values() if track.subset == "test"]
    try:
        return external_targets(EXTERNAL[name], names)
    except InputError as error:
        raise InputError(f"{name} ({EXTERNAL[name].origin}): {error}") from None


def check_targets():
    """Refuse systems that need stems which the data do not have."""
    for name, recipe in RECIPES.items():
        missing = {*recipe.sources} - {*DATASET.stems, "background"}
        if missing:
            raise InputError(
                f"systems: {name} needs the stems {', '.join(recipe.sources)}; {DATASET.title} has no {', '.join(sorted(missing))}."
            )


def check_coupled():
    """Refuse systems that are not trained here, have no dense layers on single frames, or work at another rate than the data."""
    for name in config["couplings"]:
        if name not in RECIPES:
            raise InputError(
                f"couplings: {name} is not among the recipes of `systems`{nearest(name, RECIPES)}; name it there, too."
            )
        own_stack(RECIPES[name], f"couplings: {name}")
        rate_hz = RECIPES[name].front_end.sample_rate_hz
        if rate_hz != DATASET.sample_rate_hz:
            raise InputError(
                f"couplings: {name} works at {rate_hz} Hz, {DATASET.title} has {DATASET.sample_rate_hz} Hz; choose a recipe made for it."
            )


def validation():
    """Names of the training tracks held out by recipes that validate: those of the config, which must be there, or else chosen for it."""
    known = [track.name for track in TRACKS.values() if track.subset == "train"]
    for name in config["validation_tracks"]:
        if name not in known:
            raise InputError(
                f"validation_tracks: '{name}' is not among the training tracks{nearest(name, known)}."
            )
    names = config["validation_tracks"] or validation_names(known)
    asking = [name for name in RECIPES if recipe_of(name).training.validation]
    if asking and not EXTRA and set(names) == set(known):
        raise InputError(
            f"systems: {asking[0]} holds training tracks out for validation, which leaves none of {len(known)} to train on; "
            "give it more tracks, or choose others in validation_tracks."
        )
    return names


def check_rates():
    """Refuse recipes whose front end works at a higher rate than the data have."""
    for name, recipe in RECIPES.items():
        if recipe.front_end.sample_rate_hz > DATASET.sample_rate_hz:
            raise InputError(
                f"systems: {name} works at {recipe.front_end.sample_rate_hz} Hz, {DATASET.title} has {DATASET.sample_rate_hz} Hz; "
                "choose a recipe made for it ('madsep systems' lists them), or override its front_end."
            )
